"""A corpus made by two workers of a Dask cluster is, byte for byte, the one made here."""

import contextlib
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles import tiny_tokenizer_json
from tests.programs import ROOT, run_program
from tests.repositories import MIT, new_repository
from tests.waiting import wait_for

DEADLINE_S = 300
SETTINGS = "--block-size 160 --suffix-tokens 40 --processes 1"
# What each worker has imported tells whether it had a part in the work.
WHO_WORKED = """
import sys
from distributed import Client
with Client(sys.argv[1]) as client:
    found = client.run(lambda: [f"training.data.{m}" in sys.modules for m in ("collect", "rows")])
    print(sorted(found.values()))
"""


@contextlib.contextmanager
def start(log: Path, *options: str) -> Iterator[str]:
    """Run `dask OPTIONS` until the block ends, from when it names its scheduler's address."""
    with log.open("wb") as out:
        command = [sys.executable, "-m", "dask", *options]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
    try:
        said = re.compile(r"(?:Registered to|Scheduler at): +(\S+)\n")
        yield wait_for(lambda: said.search(log.read_text()), seconds=DEADLINE_S).group(1)
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_S)


def foretype(*options: object) -> str:
    """Run a command and return what it said on standard error."""
    command = [sys.executable, str(ROOT / "foretype.py"), *map(str, options)]
    done = run_program(command, timeout=DEADLINE_S)
    return f"{done.returncode} {done.stderr}"


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
def test_corpus_and_rows_are_those_of_a_plain_run(tmp_path: Path) -> None:
    for source in range(8):
        texts = {
            f"m{n}.py": "".join(
                f"def read_{source}_{n}_{i}(v_{source}_{n}_{i}):\n    return v_{source}_{n}_{i}\n\n"
                for i in range(8)
            )
            for n in range(90)
        }
        new_repository(tmp_path / f"owner+r{source}", {"LICENSE": MIT, **texts})
    recipe, tokenizer = tmp_path / "recipe.toml", tmp_path / "tokenizer.json"
    recipe.write_text(f"[corpus]\nsources = ['{tmp_path}/owner+*']\nprocesses = 1\n")
    tokenizer.write_text(tiny_tokenizer_json())

    def make(name: str, *where: str) -> list[str]:
        corpus, rows = tmp_path / name / "corpus", tmp_path / name / "rows"
        pack = ("data", "pack", corpus, "--tokenizer", tokenizer, "--out", rows, *SETTINGS.split())
        return [
            foretype("data", "prepare", recipe, "--out", corpus, *where),
            foretype(*pack, *where),
        ]

    for said in make("plain"):
        assert said.startswith("0 "), said
    local = ("--host", "127.0.0.1", "--no-dashboard")
    log = tmp_path / "log"
    log.mkdir()
    with contextlib.ExitStack() as running:
        options = ("scheduler", "--port", "0", *local)
        address = running.enter_context(start(log / "scheduler", *options))
        worker = ("worker", address, "--no-nanny", *local, "--nthreads")
        for name in ("one", "two"):
            running.enter_context(start(log / name, *worker, "1"))
        for said in make("spread", "--scheduler", address):
            assert said.startswith("0 "), said
        asked = [sys.executable, "-c", WHO_WORKED, address]
        told = run_program(asked, timeout=DEADLINE_S)
        assert told.stdout == "[[True, True], [True, True]]\n", told.stderr
        # Between tasks a worker keeps what packs a group, and nothing guards it against threads.
        with start(log / "three", *worker, "2"):
            said = make("refused", "--scheduler", address)[0]
        assert "3 workers with 4 threads" in said
        assert "dask worker --nthreads 1" in said
    for folder in ("corpus", "rows"):
        assert hashes(tmp_path / "plain" / folder) == hashes(tmp_path / "spread" / folder)
