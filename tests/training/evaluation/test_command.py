"""A command's report is written and shown, or its user's mistake is one line and nothing else."""

import json
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.git import GitError
from model.folder import ModelFolderError
from training.evaluation import command


def test_report_is_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    code = command.report_on("prog", lambda: {"n": 3}, lambda report: f"n = {report['n']}\n", file)
    assert (code, capsys.readouterr()) == (0, ("n = 3\n", ""))
    assert json.loads(file.read_text()) == {"n": 3}


@pytest.mark.parametrize("kind", [ModelFolderError, ModelError, GitError, OSError, ValueError])
def test_mistake_is_told_and_nothing_is_written(
    kind: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> command.Report:
        raise kind("do this instead")

    file = tmp_path / "report.json"
    assert command.report_on("foretype prog", make, str, file) == 1
    assert capsys.readouterr() == ("", "foretype prog: do this instead\n")
    assert not file.exists()


def test_fault_of_ours_is_not_hidden() -> None:
    def make() -> command.Report:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        command.report_on("prog", make, str, None)


def test_report_that_cannot_be_written_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.report_on("foretype prog", dict, str, tmp_path / "no" / "folder.json") == 1
    assert capsys.readouterr().err.startswith("foretype prog: ")


def test_common_options(tmp_path: Path) -> None:
    args = command.parser("prog", "what it does").parse_args(
        ["--model", str(tmp_path), "--seed", "7", "--json", "a.json"]
    )
    assert (args.model, args.seed, args.json) == (tmp_path, 7, Path("a.json"))
    defaults = command.parser("prog", None).parse_args([])
    assert (defaults.model, defaults.seed, defaults.json) == (None, 0, None)


@pytest.mark.parametrize("text", ["0", "-3", "2.5", "many", ""])
def test_count_must_be_above_zero(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = command.parser("prog", None)
    parser.add_argument("--n", type=command.count)
    assert parser.parse_args(["--n", "12"]).n == 12
    with pytest.raises(SystemExit):
        parser.parse_args([f"--n={text}"])
    assert "is not a number above 0" in capsys.readouterr().err
