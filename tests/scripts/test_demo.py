"""The demo's cursors exist, and it says so when there is no model to show."""

import sys
from pathlib import Path

import pytest

from assistant.request import Completion, CompletionRequest
from scripts import demo
from tests.programs import ROOT, run_program


@pytest.mark.parametrize("stop", [*demo.STOPS, demo.KEYSTROKES], ids=lambda stop: stop.line)
def test_every_stop_is_one_line_of_its_file(stop: demo.Stop) -> None:
    cursor = demo.place(stop)
    assert stop.typed + cursor.wiped == stop.line
    before = cursor.text[: cursor.offset].rpartition("\n")[2]
    assert before.strip() == stop.typed.strip()
    whole = cursor.text[: cursor.offset] + cursor.wiped + cursor.text[cursor.offset :]
    assert whole == (ROOT / stop.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("stop", [*demo.STOPS, demo.KEYSTROKES], ids=lambda stop: stop.line)
def test_index_does_not_tell_what_the_file_says(stop: demo.Stop) -> None:
    asked: list[str] = []

    class Listener:
        def complete(self, request: CompletionRequest) -> list[Completion]:
            asked.append(request.path)
            return []

    demo.ask(Listener(), demo.place(stop))  # type: ignore[arg-type]
    # the index leaves out the file that is asked about, if it goes by the same name there
    assert asked[0] in dict(demo.texts())


def test_suggestion_is_shown_in_grey(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    cursor = demo.Cursor(path=Path("a.py"), text="x = (\ny = 2\n", offset=5, wiped="1)")
    offered = Completion(
        text="(1,\n     2)", start=4, end=5, source="network", finish_reason="stop", logprob=0.0,
        )  # fmt: skip
    demo.Screen().excerpt(cursor, offered)
    assert capsys.readouterr().out == (
        "    1 | x = \x1b[90m(1,\x1b[0m\n    2 | \x1b[90m     2)\x1b[0m\n    3 | y = 2\n    4 | \n"
    )
    assert demo.applied(cursor, offered) == "1,\n     2)"


def test_missing_model_is_said_plainly(tmp_path: Path) -> None:
    program = (
        "import sys, model.folder, pathlib\n"
        "model.folder.BUNDLED = pathlib.Path(sys.argv[1])\n"
        "sys.argv[1:] = []\n"
        "from scripts.demo import main\n"
        "sys.exit(main())\n"
    )
    run = run_program([sys.executable, "-c", program, str(tmp_path / "missing")], timeout=120)
    assert run.returncode == 3
    assert run.stderr.startswith("\nThere is no bundled model to show: ")
    assert "Traceback" not in run.stderr
