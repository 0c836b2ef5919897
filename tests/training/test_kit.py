"""The kit for a lent machine, in small: a corpus in pieces, two networks in legs, results back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.folder import load_folder
from tests.programs import ROOT
from tests.repositories import MIT, new_repository
from tests.training.test_pipeline import module
from training.cli import main

pytestmark = pytest.mark.slow

RECIPE = """
[corpus]
sources = ["sources/*"]
validation = ["lib/held"]
[network]
preset = "nano"
vocab_size = 288
block_size = 192
n_layer = 1
n_embd = {width}
[rows]
snippets = 0.0
[train]
tokens = 7680
batch_tokens = 768
micro_rows = 2
lr_scale = 20.0
validate_steps = 4
checkpoint_s = 1
dtype = "float32"
[folder]
name = "small-{width}"
suffix_tokens = 16
"""


@pytest.fixture(scope="module", autouse=True)
def one_processor() -> Iterator[None]:
    """Each run tries how many threads are fastest here, and sums depend on their number."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes cannot be kept on one processor here")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipes, and a kit that went through pieces; both networks are to take ten steps."""
    root = tmp_path_factory.mktemp("kit")
    for name in ("held", "first", "second"):
        files = {f"{name}/m{i}.py": module(f"{name}{i}") for i in range(4)}
        new_repository(root / "sources" / f"lib+{name}", {"LICENSE": MIT, **files})
    for role, width in (("teacher", 64), ("pupil", 32)):
        (root / f"{role}.toml").write_text(RECIPE.format(width=width), encoding="utf-8")
    corpus, tokenizer = str(root / "any-name"), str(root / "tokenizer.json")
    assert main(["data", "prepare", str(root / "teacher.toml"), "--out", corpus]) == 0
    assert main(["data", "tokenizer", corpus, "--vocab-size", "288", "--out", tokenizer]) == 0
    pieces = str(root / "pieces")
    assert main(["train", "kit", "cut", corpus, tokenizer, "--out", pieces]) == 0
    assert main(["train", "kit", "join", pieces, "--into", str(root / "there")]) == 0
    return root


def command(folder: Path, out: Path, seconds: int) -> list[str]:
    recipes = ["--teacher", str(folder / "teacher.toml"), "--pupil", str(folder / "pupil.toml")]
    arguments = ["train", "kit", "run", str(folder / "there"), "--out", str(out), *recipes]
    return [*arguments, "--seconds", str(seconds)]


def ten_steps(out: Path) -> Path:
    out.mkdir(parents=True)
    (out / "plan.json").write_text(json.dumps({"teacher": 7_680, "pupil": 7_680}))
    return out


def losses(out: Path) -> dict[str, dict[int, float]]:
    logs = {role: out / role / "run" / "log.jsonl" for role in ("teacher", "pupil")}
    lines = {role: map(json.loads, log.read_text().splitlines()) for role, log in logs.items()}
    return {role: {line["step"]: line["loss"] for line in each} for role, each in lines.items()}


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    out = ten_steps(folder / "whole")
    assert main(command(folder, out, 3_600)) == 0
    return out


def test_pupil_was_taught_and_results_come_back_in_pieces(whole: Path, tmp_path: Path) -> None:
    pieces = str(whole / "pupil-pieces")
    assert main(["train", "kit", "join", pieces, "--into", str(tmp_path / "back")]) == 0
    back = load_folder(tmp_path / "back" / "model")
    assert back.content_hash == load_folder(whole / "pupil" / "model").content_hash
    teacher = load_folder(whole / "teacher" / "model").content_hash
    card = (tmp_path / "back" / "model" / "README.md").read_text()
    assert f"taught by the model {teacher[:12]}" in card
    page = (tmp_path / "back" / "report.html").read_text()
    assert "files in train" in page  # the corpus's funnel
    assert "of large products" in page
    assert list(losses(whole)["pupil"]) == list(range(1, 11))


def test_legs_have_the_losses_of_one(
    folder: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ten_steps(tmp_path / "legs")
    for seconds in (0, 0, 3_600):  # at least a step each
        assert main(command(folder, out, seconds)) == 0
        is_last = seconds > 0
        said = capsys.readouterr().err
        assert ("the same command goes on" in said) != is_last
    assert losses(out) == losses(whole)
    hashes = {load_folder(each / "pupil" / "model").content_hash for each in (out, whole)}
    assert len(hashes) == 1


def test_killed_leg_goes_on(folder: Path, whole: Path, tmp_path: Path) -> None:
    out = ten_steps(tmp_path / "killed")
    shutil.copytree(whole / "rows", out / "rows")
    arguments = [sys.executable, str(ROOT / "foretype.py"), *command(folder, out, 3_600)]
    leg = subprocess.Popen(arguments, env=os.environ | {"OMP_NUM_THREADS": "1"})
    log, deadline = out / "teacher" / "run" / "log.jsonl", time.monotonic() + 240
    while time.monotonic() < deadline and not (log.is_file() and log.read_text().count("\n") > 2):
        time.sleep(0.01)
    leg.send_signal(signal.SIGKILL)
    assert leg.wait() in (-signal.SIGKILL, 0)  # it may have been over
    assert main(command(folder, out, 3_600)) == 0
    assert losses(out) == losses(whole)


def test_lent_machine_needs_neither_what_makes_a_corpus_nor_what_serves() -> None:
    code = (
        "import sys, training.pretrain.kit; "
        "found = {'rensa', 'onnxruntime', 'lsprotocol', 'pygls', 'httpx2'} & {*sys.modules}; "
        "sys.exit(', '.join(sorted(found)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=240)


def test_folder_without_a_corpus_is_a_mistake(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ten_steps(tmp_path / "out")
    arguments = command(folder, out, 0)
    arguments[arguments.index(str(folder / "there"))] = str(tmp_path)
    assert main(arguments) == 1
    assert "has 0 corpora below it" in capsys.readouterr().err


def test_first_leg_measures_how_much_can_be_read(folder: Path, tmp_path: Path) -> None:
    assert main([*command(folder, tmp_path, 0), "--budget", "5"]) == 0
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["teacher"] >= 2 * 768
