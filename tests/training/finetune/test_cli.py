"""The command: one line for each refusal, a table for a result, and a run that goes on."""

import json
import os
from pathlib import Path

import pytest

from tests.histories import small_request
from training.finetune import cli, gather
from training.finetune.gather import NothingToDoError
from training.finetune.prepare import Request, tune_folder
from training.finetune.privacy import owner_only
from training.finetune.run import StoppedError
from training.finetune.session import Outcome

RESULT = {
    "verdict": {"report": {"n": 1}},
    "refit": {},
    "model": {"name": "project-1"},
    "is_used": True,
}


def says(monkeypatch: pytest.MonkeyPatch, result: object) -> list[tuple[Request, bool]]:
    """Let the tuning end at once: with an error, or a result."""
    asked: list[tuple[Request, bool]] = []

    def tune(request: Request, judges: object, *, is_fresh: bool = False) -> object:
        asked.append((request, is_fresh))
        if isinstance(result, BaseException):
            raise result
        return Outcome(plan=None, result=result, is_old=False)  # type: ignore[arg-type]

    monkeypatch.setattr(cli, "tune", tune)
    monkeypatch.setattr(cli, "table", lambda report: f"table of {report['n']}\n")
    monkeypatch.setattr(cli, "page", lambda report: f"page of {report['n']}")
    return asked


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "src").mkdir()
    return folder


def test_folder_without_git_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err == f"foretype tune: {tmp_path} is in no git repository; tuning needs its history\n"


def test_options_reach_the_tuning(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = says(monkeypatch, RESULT)
    options = ["--epochs", "5", "--lora", "8", "--tasks", "50", "--seed", "3", "--nightly"]
    assert cli.main([str(repository / "src"), *options, "--general", str(tmp_path), "--fresh"]) == 0
    [(request, is_fresh)] = asked
    assert is_fresh
    assert request.repository == repository
    found = request.options
    assert (found.n_epochs, found.lora_rank, found.n_tasks, found.seed) == (5, 8, 50, 3)
    assert (found.is_nightly, found.general) == (True, str(tmp_path))


@pytest.mark.parametrize("seed", ["-1", "x", "1" * 20])
def test_seed_must_be_a_whole_number(
    repository: Path, capsys: pytest.CaptureFixture[str], seed: str
) -> None:
    with pytest.raises(SystemExit):
        cli.main([str(repository), f"--seed={seed}"])
    assert f"{seed} is not a whole number from 0 on" in capsys.readouterr().err


def test_result_is_shown_and_written(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    says(monkeypatch, RESULT)
    files = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    assert cli.main([str(repository), *files]) == 0
    out = capsys.readouterr().out
    assert out.startswith("table of 1\n")
    assert "project-1 was put to serve in this repository" in out
    assert json.loads((tmp_path / "r.json").read_text()) == RESULT
    assert (tmp_path / "r.html").read_text() == "page of 1"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": None}, "What served before goes on serving."),
        ({"is_used": False}, "is pinned: foretype models use project-1"),
    ],
)
def test_ending_says_what_holds(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    changes: dict[str, object], text: str,
) -> None:  # fmt: skip
    says(monkeypatch, RESULT | changes)
    assert cli.main([str(repository)]) == 0
    assert text in capsys.readouterr().out


def test_nothing_to_do_is_no_failure(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says(monkeypatch, NothingToDoError("nothing to do"))
    assert cli.main([str(repository)]) == 0
    assert capsys.readouterr() == ("nothing to do\n", "")


@pytest.mark.parametrize("error", [StoppedError("stopped and saved"), KeyboardInterrupt()])
def test_stopped_run_says_how_to_go_on(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:  # fmt: skip
    says(monkeypatch, error)
    assert cli.main([str(repository)]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


def test_error_is_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says(monkeypatch, OSError("disk full"))
    assert cli.main([str(repository)]) == 1
    assert capsys.readouterr().err == "foretype tune: disk full\n"


def test_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gather, "MIN_TOKENS", 1_000)
    request = small_request(tmp_path)
    arguments = ["--model", str(request.base), "--general", request.options.general]
    assert cli.main([str(request.repository), "--dry-run", *arguments]) == 0
    out = capsys.readouterr().out
    assert "trained on   40 commits" in out
    assert "41 of 41 tracked files" in out
    assert not tune_folder("x").parent.exists()


def test_what_is_written_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with owner_only():
            (tmp_path / "a").write_text("x")
        (tmp_path / "b").write_text("x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o644]
