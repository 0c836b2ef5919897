"""Only a plain yes is a yes."""

import io

import pytest

from assistant.cli.confirm import agrees


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
