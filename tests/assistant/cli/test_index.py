"""`foretype index`: what it prints, makes and deletes."""

import io
import json
import sys
from pathlib import Path

import pytest

from assistant.cli.index import main
from assistant.index.updater import build_command
from assistant.index.writer import IndexWriter, index_folder, indexes_folder
from assistant.settings import Settings
from tests.programs import run_program
from tests.repositories import new_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "r", {"a.py": "x = 1\n", "b.py": "y = 2\n"})


@pytest.fixture(autouse=True)
def _no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watched build ends its process with its input, and this one has none."""
    monkeypatch.setattr("assistant.cli.index._end_with_reader", lambda: None)
    monkeypatch.setattr("assistant.cli.index.os.nice", lambda _: 0)


def test_build_status_and_clear(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root)]) == 1
    assert "foretype index build" in capsys.readouterr().out
    assert main(["build", str(root), "--exclude", "b*"]) == 0
    out = capsys.readouterr().out
    assert "1 files taken up" in out
    assert "left out: 1 excluded" in out
    assert main(["status", str(root)]) == 0
    assert "repo: 1 files" in capsys.readouterr().out
    assert main(["clear", str(root)]) == 0
    assert not index_folder(root).exists()
    assert main(["clear", str(root)]) == 0
    assert "there was none" in capsys.readouterr().out


def test_clear_all(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clear", "--all"]) == 0
    other = new_repository(tmp_path / "other", {"c.py": "z = 3\n"})
    for folder in (root, other):
        main(["build", str(folder)])
    assert main(["status", "--all"]) == 2
    assert "--all goes with clear" in capsys.readouterr().err
    assert main(["clear", "--all"]) == 0
    assert "2 deleted" in capsys.readouterr().out
    assert [path for path in indexes_folder().iterdir() if path.is_dir()] == []


def test_another_writer_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with IndexWriter(index_folder(root)):
        assert main(["build", str(root)]) == 1
        assert main(["clear", str(root)]) == 1
        assert main(["build", "--watched", str(root)]) == 1
    said = capsys.readouterr()
    assert said.err.count("another process is writing") == 2
    assert json.loads(said.out) == {"outcome": "busy"}


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(tmp_path / "none")]) == 2
    assert main(["build", str(Path.home())]) == 2
    settings = Path.home().parent / "config" / "foretype"
    settings.mkdir()
    (settings / "settings.toml").write_text("nonsense = 1\n")
    assert main(["status", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("foretype index: ") for line in lines] == [True] * 3


def test_a_disk_that_takes_nothing_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assistant.index.segment.os.fsync", refuse)
    assert main(["build", str(root)]) == 3
    assert main(["build", "--watched", str(root)]) == 3
    said = capsys.readouterr()
    assert (
        f"cannot write the index in {index_folder(root)}: No space left on device; make" in said.err
    )
    assert json.loads(said.out)["message"] == "No space left on device"


def test_a_terminal_is_shown_progress(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("assistant.cli.index._SAY_EVERY_S", 0.0)
    assert main(["build", str(root)]) == 0
    assert "(100%)" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


@pytest.mark.slow
def test_a_watched_build_ends_with_its_reader(root: Path) -> None:
    command = build_command(root, Settings(index_mb=10))
    done = run_program(command, input="", timeout=60)
    assert done.returncode in (0, 1)  # its input has ended: so may it, at any moment
    assert done.stderr == ""
    with IndexWriter(index_folder(root), timeout_s=10):
        pass


def test_inside_a_repository_its_index_is_meant(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(root / "src")
    assert main(["build"]) == 0
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count(f"{root}: complete") == 2
    assert main(["build", "."]) == 0  # what is named is meant
    monkeypatch.chdir(root / "src" / "deep")
    capsys.readouterr()
    assert main(["clear"]) == 0  # the nearest, from which completions here are taken
    assert capsys.readouterr().out == f"{root / 'src'}: deleted\n"
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path}: no index")


def test_a_home_kept_in_git_is_not_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: new_repository(tmp_path / "home", {}))
    (tmp_path / "home" / "my project").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home" / "my project")
    assert main(["status"]) == 1
    here = tmp_path / "home" / "my project"
    assert capsys.readouterr().out == (
        f"{here}: no index; make it with: foretype index build '{here}'\n"
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--mb=0", "index_mb must be in 1.."),
        ("--mb=-5", "index_mb must be in 1.."),
        ("--exclude=!a.py", "would take a pattern back"),
        ("--exclude={a,b}.py", "has braces"),
    ],
)
def test_options_are_as_strict_as_the_settings(
    option: str, said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(root), option]) == 2
    assert said in capsys.readouterr().err
    assert not index_folder(root).exists()
