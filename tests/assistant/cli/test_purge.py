"""`foretype purge` as a person uses it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.cli import purge as cli
from assistant.cli.purge import main
from tests.programs import ROOT, run_program


@pytest.fixture
def graph(private_home: Path) -> Path:
    path = private_home / "cache" / "foretype" / "graphs" / "x"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(1_500_000))
    return path


def test_list_comes_first_and_yes_removes(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--yes"]) == 0
    shown = capsys.readouterr().out
    assert f"       1.5 MB  {graph.parent}  (models made ready to run)\n" in shown
    assert not graph.exists()
    assert main([]) == 0
    assert capsys.readouterr().out == "Nothing of foretype's is stored here.\n"


def test_dry_run_removes_nothing(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run"]) == 0
    assert "Nothing was removed" in capsys.readouterr().out
    assert graph.exists()


@pytest.mark.parametrize(("answer", "is_kept"), [("yes\n", False), ("no\n", True), ("", True)])
def test_it_asks(graph: Path, answer: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main([]) == (1 if is_kept else 0)
    assert graph.exists() is is_kept


def test_models_are_named_in_the_question(
    private_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = private_home / "data" / "foretype" / "models" / "own" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"x")
    assert main(["--yes"]) == 0
    assert weights.exists()
    assert "Left out: models tuned on your repositories" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert main(["--models"]) == 1
    assert "Only tuning again brings those back" in capsys.readouterr().out
    assert main(["--models", "--yes"]) == 0
    assert not weights.exists()


@pytest.mark.parametrize("is_windows", [False, True])
def test_what_cannot_be_removed_is_one_line_and_exit_code_one(
    graph: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_windows: bool,
) -> None:
    error = PermissionError(13, "Permission denied", str(graph))
    if is_windows:
        error.winerror = 32  # type: ignore[attr-defined]  # somebody has it open
    hint = "; close the editors that use it" if is_windows else ""

    def refuse(item: object) -> None:
        raise error

    monkeypatch.setattr(cli, "delete", refuse)
    assert main(["--yes"]) == 1
    assert capsys.readouterr().err == (
        f"foretype purge: cannot remove {graph}: Permission denied{hint}\n"
    )


def test_wrong_settings_do_not_stop_it(
    graph: Path, private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = private_home / "config" / "foretype" / "settings.toml"
    settings.parent.mkdir()
    settings.write_text("oh")
    assert main(["--yes"]) == 0
    assert "the log file is not known" in capsys.readouterr().err
    assert not graph.exists()


def test_launcher_knows_it(graph: Path) -> None:
    command = [sys.executable, str(ROOT / "foretype.py"), "purge"]
    done = run_program(command, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 1
    assert done.stdout.endswith("no answer; --yes agrees beforehand\nNothing was removed.\n")
    assert graph.exists()
