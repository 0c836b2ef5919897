"""What all commands share: one line for a mistake, its exit code, and no word to a closed pipe."""

import io

import pytest

from assistant.cli.command import CommandParser, UsageError, agrees, run_command
from assistant.errors import AssistantError, SettingsError


def fail(error: Exception) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("bad\n  words"), 2),
        (SettingsError("bad words"), 5),
        (AssistantError("bad words"), 4),
    ],
)
def test_mistake_is_one_line_with_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    mistakes = ((SettingsError, 5), (AssistantError, 4))
    assert run_command("test", lambda: fail(error), *mistakes) == code
    assert capsys.readouterr() == ("", "foretype test: bad words\n")


def test_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser(prog="foretype test")
    assert run_command("test", lambda: bool(parser.parse_args(["--no"]))) == 2
    assert capsys.readouterr().err == "foretype test: unrecognized arguments: --no\n"


def test_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command("test", lambda: fail(ZeroDivisionError()))


def test_a_disk_that_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("test", lambda: fail(OSError(28, "No space left on device"))) == 1
    assert capsys.readouterr().err == "foretype test: No space left on device\n"


def test_what_the_system_refuses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("test", lambda: fail(IsADirectoryError(21, "Is a directory", "/a"))) == 1
    assert capsys.readouterr().err == "foretype test: /a: Is a directory\n"


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [("y\n", True), ("Yes \n", True), ("\n", False), ("no\n", False), ("yesterday\n", False)],
)
def test_answer_is_read(answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert agrees("Go?") is agreed


def test_nobody_there_is_a_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert agrees("Go?") is False
    assert capsys.readouterr().out == "Go? [y/N] no answer; --yes agrees beforehand\n"
