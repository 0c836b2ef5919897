"""`foretype setup` as a person uses it."""

import io
from pathlib import Path

import pytest

from assistant.cli.setup import main


@pytest.fixture
def init(private_home: Path) -> Path:
    path = private_home / "home" / ".emacs"
    path.write_text("(setq mine t)\n")
    return path


def test_without_an_editor_the_known_ones_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "nvim         Neovim" in capsys.readouterr().out


def test_list_says_which_editors_are_set_up(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    emacs = private_home / "emacs"
    emacs.write_text("#!/bin/sh\n")
    emacs.chmod(0o755)
    monkeypatch.setenv("PATH", str(private_home))
    assert main([]) == 0
    assert f"{emacs}\n" in capsys.readouterr().out
    assert main(["emacs", "--write", "--yes"]) == 0
    assert "`foretype doctor` says whether" in capsys.readouterr().out
    assert main([]) == 0
    assert f"{emacs}, set up\n" in capsys.readouterr().out
    (private_home / "home" / ".emacs").write_bytes(b"\xff")
    assert main([]) == 0
    assert f"{emacs}: " in capsys.readouterr().out


def test_lines_are_shown_and_nothing_is_changed(
    init: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emacs"]) == 0
    shown = capsys.readouterr().out
    assert f"In {init}:" in shown
    assert "(foretype-setup 'eglot)" in shown
    assert "`foretype setup emacs --write` does that." in shown
    assert init.read_text() == "(setq mine t)\n"


def test_write_shows_a_diff_keeps_a_backup_and_is_done_once(
    init: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emacs", "--write", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "+;; >>> foretype >>>" in shown
    assert "as it was: " in shown
    text = init.read_text()
    assert text.startswith("(setq mine t)\n")
    assert init.with_name(".emacs.before-foretype").read_text() == "(setq mine t)\n"
    assert main(["emacs", "--write", "--yes"]) == 0
    assert "starts foretype already" in capsys.readouterr().out
    assert init.read_text() == text


def test_remove_takes_out_what_write_wrote(init: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emacs", "--write", "--yes"]) == 0
    assert main(["emacs", "--remove"]) == 1  # nobody is there to agree
    assert "foretype" in init.read_text()
    assert main(["emacs", "--remove", "--yes"]) == 0
    assert init.read_text() == "(setq mine t)\n"
    assert main(["emacs", "--remove", "--yes"]) == 0
    assert "nothing that `foretype setup` wrote" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "is_written"), [("y\n", True), ("n\n", False), ("", False)])
def test_write_asks(
    init: Path, answer: str, is_written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["emacs", "--write"]) == (0 if is_written else 1)
    assert ("foretype" in init.read_text()) is is_written


def test_file_that_cannot_be_added_to_is_shown_instead(
    init: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init.write_text("(setq mine t")
    assert main(["emacs", "--write", "--yes"]) == 1
    shown = capsys.readouterr().out
    assert "To be done by hand" in shown
    assert "(foretype-setup 'eglot)" in shown
    assert init.read_text() == "(setq mine t"


def test_file_that_cannot_be_read_is_one_line(
    init: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init.write_bytes(b"\xff")
    assert main(["emacs"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("foretype setup: ")
    assert error.endswith("is not UTF-8 text; nothing was changed\n")


def test_unknown_editor_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notepad"]) == 2
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--write", "--remove"])
def test_forgotten_editor_is_bad_usage(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 2
    said = "foretype setup: which editor? `foretype setup` lists them\n"
    assert capsys.readouterr() == ("", said)


def test_emacs_client_can_be_named(private_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emacs", "--client", "lsp-mode"]) == 0
    shown = capsys.readouterr().out
    assert "(foretype-setup 'lsp-mode)" in shown
    assert "`foretype setup emacs --client lsp-mode --write` does that." in shown
    assert main(["vim", "--client", "eglot"]) == 2
    assert "--client is for emacs only" in capsys.readouterr().err
