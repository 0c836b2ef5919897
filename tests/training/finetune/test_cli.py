"""The command: one line for each refusal, a table for a result, and a run that goes on."""

import json
import re
from pathlib import Path

import pytest

from model.paths import config_folder
from tests.histories import small_request
from tests.repositories import new_repository
from training.errors import TuneStoppedError
from training.finetune import cli, report, texts
from training.finetune.request import TuneRequest
from training.finetune.session import TuneOutcome, tune_folder

RESULT = {
    "verdict": {"report": {"n": 1}},
    "model": {"name": "project-1"},
    "is_used": True,
}


def script_tuning(
    monkeypatch: pytest.MonkeyPatch, result: object
) -> list[tuple[TuneRequest, bool]]:
    """Let the tuning end at once: with an error, or a result."""
    asked: list[tuple[TuneRequest, bool]] = []

    def tune(request: TuneRequest, *, is_fresh: bool = False) -> object:
        asked.append((request, is_fresh))
        if isinstance(result, BaseException):
            raise result
        return TuneOutcome(plan=None, result=result, is_old=False)  # type: ignore[arg-type]

    monkeypatch.setattr("training.finetune.session.tune", tune)
    monkeypatch.setattr(report, "format_report", lambda report: f"table of {report['n']}\n")
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
    asked = script_tuning(monkeypatch, RESULT)
    options = ["--epochs", "5", "--lora", "8", "--tasks", "150", "--seed", "3"]
    assert cli.main([str(repository / "src"), *options, "--general", str(tmp_path), "--fresh"]) == 0
    [(request, is_fresh)] = asked
    assert is_fresh
    assert request.repository == repository
    found = request.options
    assert (found.n_epochs, found.lora_rank, found.n_tasks, found.seed) == (5, 8, 150, 3)
    assert found.general == str(tmp_path)


def test_too_few_cursors_are_refused_before_hours_of_training(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever came of it was refused then, with the advice to wait for more commits."""
    assert cli.main([str(repository), "--tasks=99"]) == 2
    assert "--tasks: 99 is too few: 100 are needed to judge by" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "x", "1" * 20])
def test_seed_must_be_a_whole_number(
    repository: Path, capsys: pytest.CaptureFixture[str], seed: str
) -> None:
    assert cli.main([str(repository), f"--seed={seed}"]) == 2
    assert f"{seed} is not a whole number from 0 on" in capsys.readouterr().err


def test_result_is_shown_and_written(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    script_tuning(monkeypatch, RESULT)
    assert cli.main([str(repository), "--json", str(tmp_path / "r.json")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("table of 1\n")
    assert "project-1 serves in this repository now" in out
    assert json.loads((tmp_path / "r.json").read_text()) == RESULT


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
    script_tuning(monkeypatch, RESULT | changes)
    assert cli.main([str(repository)]) == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("error", [TuneStoppedError("stopped and saved"), KeyboardInterrupt()])
def test_stopped_run_says_how_to_go_on(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:  # fmt: skip
    script_tuning(monkeypatch, error)
    assert cli.main([str(repository)]) == 130
    assert "run the same command to go on from here" in capsys.readouterr().err


def test_error_is_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script_tuning(monkeypatch, OSError("disk full"))
    assert cli.main([str(repository)]) == 1
    assert capsys.readouterr().err == "foretype tune: disk full\n"


@pytest.mark.usefixtures("two_bundled")
@pytest.mark.parametrize(
    ("names", "base"),
    [(["a.py", "b.py", "c.go"], "python"), (["a.py", "b.go", "c.rs"], "polyglot"), ([], "python")],
)
def test_base_is_the_bundled_model_that_knows_most_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], base: str
) -> None:
    asked = script_tuning(monkeypatch, RESULT)
    repository = new_repository(tmp_path / "r", dict.fromkeys([*names, "notes.txt"], "x = 1\n"))
    cli.main([str(repository)])
    assert [request.base.name for request, _ in asked] == [base]


def test_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(texts, "MIN_TOKENS", 1_000)
    request = small_request(tmp_path)
    arguments = ["--model", str(request.base), "--general", request.options.general]
    assert cli.main([str(request.repository), "--dry-run", *arguments]) == 0
    out = capsys.readouterr().out
    assert "trained on   40 commits" in out
    assert "41 of 41 code files" in out
    assert re.search(
        r"^time +about \d+ minutes here \(training [\d.]+, judging [\d.]+\)", out, re.M
    )
    assert not tune_folder("x").parent.exists()


def test_the_user_s_settings_say_what_stays_out(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "r", {"a.py": "x = 1\n"})
    config_folder().mkdir(exist_ok=True)
    (config_folder() / "settings.toml").write_text('exclude = ["private/"]\n')
    request = cli._request(cli._parser().parse_args([str(repository)]))
    assert request.options.exclude == ("private/",)
