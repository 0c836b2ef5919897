"""2026-11-29: where the cache could not be written, commands ended in a traceback.

Cause: asking where something lies made it, and the error was nobody's. A file stands where the
folder should be: root can write to any folder.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT, run_program


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    blocker = tmp_path / "file"
    blocker.write_text("")
    return blocker / "cache"


def run(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [sys.executable, str(ROOT / "foretype.py"), *arguments],
        cwd=cache.parents[1],
        env=os.environ | {"FORETYPE_CACHE": str(cache)},
        timeout=300,
    )


@pytest.mark.parametrize("command", ["complete", "why"])
def test_a_suggestion_is_refused_in_one_line(cache: Path, command: str) -> None:
    source = cache.parents[1] / "a.py"
    source.write_text("x = ")
    done = run(cache, command, f"{source}:1:5")
    assert (done.stdout, done.returncode) == ("", 3)
    assert done.stderr.startswith(f"foretype {command}: cannot run the model in ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["status"], 1), (["clear"], 0), (["clear", "--all"], 0), (["build"], 3)],
)
def test_the_index_command_says_one_line(cache: Path, arguments: list[str], code: int) -> None:
    (cache.parents[1] / ".git").mkdir()
    done = run(cache, "index", *arguments)
    assert done.returncode == code
    assert (done.stdout + done.stderr).count("\n") == 1


def test_doctor_reports_it_and_goes_on(cache: Path) -> None:
    done = run(cache, "doctor", "--no-editors")
    assert (done.stderr, done.returncode) == ("", 1)
    names = [line[9:].split("  ")[0] for line in done.stdout.splitlines()]
    assert "broken   cache" in done.stdout
    assert names.index("cache") < names.index("index") < names.index("completion")
