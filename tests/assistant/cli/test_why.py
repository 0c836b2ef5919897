"""`foretype why` on a real file: text for people, JSON for programs."""

import json
from pathlib import Path

import pytest

from assistant.cli.complete import main
from assistant.filter.postprocess import RuleVerdict
from assistant.generate.response import Trace, format_trace
from tests.scripted import speaking_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("model"))


def test_says_how_a_suggestion_came_about(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sample.py"
    file.write_text("value = compute(1)\nother = compute(2)\nthird = comp\nhand")
    assert main(["why", f"{file}:3:13", "--model", str(model)]) in (0, 1)
    said = capsys.readouterr().out
    assert "considered, best first: " in said
    assert "tree nodes" not in said
    assert main(["why", f"{file}:3:13", "--model", str(model), "-v"]) in (0, 1)
    numbers = capsys.readouterr().out
    assert numbers.startswith(said.rpartition("-v")[0])
    assert "matches in the document:" in numbers
    assert "candidate" in numbers
    assert "tree nodes" in numbers
    assert main(["why", f"{file}:3:13", "--model", str(model), "--json"]) in (0, 1)
    table = json.loads(capsys.readouterr().out)
    assert {"outcome", "words", "candidates", "rules", "stage_ms", "threshold"} <= table.keys()


def test_bad_place_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("foretype why: FILE:LINE:COL is needed")


def test_silence_is_told_too() -> None:
    excluded = Trace(outcome="excluded file")
    assert format_trace(excluded.table()).startswith("this file is excluded: ")
    unsure = Trace(outcome="not sure enough", probability=0.011, threshold=0.19)
    assert format_trace(unsure.table()).startswith("not sure enough (1%, shown from 19%)\n")
    short = Trace(rules=[RuleVerdict(rule="too_short", action="dropped", n_chars=1)])
    assert "rule too_short: dropped 1 characters" in format_trace(short.table(), verbose=True)
