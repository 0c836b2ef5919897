"""What became of what was shown is told from document changes, as editors send them."""

from collections import Counter
from collections.abc import Sequence

import pytest
from lsprotocol import types

from assistant.counts import Statistics
from assistant.request import Completion
from lsp.documents import Document
from lsp.outcomes import Outcomes
from tests.lsp.test_documents import change, opened

LINE = "total = add(first, second)"


class Editor:
    """One document that is typed in, and asked about."""

    def __init__(self, text: str, row: int = 0) -> None:
        self.workspace, self.document = opened(text)
        self.row, self.now_s = row, 0.0
        self.counts = Counted()
        self.outcomes = Outcomes(self.counts, self.find, lambda: self.now_s)
        self.is_open = True

    def find(self, uri: str) -> Document | None:
        return self.document if self.is_open else None

    def shown(self, *texts: str, over: int = 0) -> None:
        """The server answers at the end of the row, `over` characters before it."""
        column = len(self.document.line_at(self.row)) - over
        position = types.Position(self.row, column)
        snapshot = self.document.snapshot(position)
        offset = snapshot.offset
        found = [
            Completion(text=text, start=offset, end=offset + over, source="index",
                       finish_reason="stop", logprob=0.0, probability=0.614)
            for text in texts
        ]  # fmt: skip
        self.outcomes.answered(self.document, snapshot, found, 3.5)

    def put(self, text: str, *, over: int = 0, row: int | None = None, column: int = -1) -> None:
        """One change: at the end of the row, or at a place."""
        row = self.row if row is None else row
        column = column if column >= 0 else len(self.document.line_at(row)) - over
        self.replace(row, column, column + over, text)

    def replace(self, row: int, start: int, end: int, text: str) -> None:
        places = [{"line": row, "character": at} for at in (start, end)]
        edit = {"range": {"start": places[0], "end": places[1]}, "text": text}
        change(self.workspace, 2, [edit])
        self.outcomes.changed(self.document)

    def keys(self, text: str, **where: int) -> None:
        for key in text:
            self.put(key, **where)

    def after(self, seconds: float) -> None:
        self.now_s += seconds
        self.outcomes.look()


class Counted(Statistics):
    def __init__(self) -> None:
        super().__init__()
        self.n: Counter[str] = Counter()

    def add(self, language: str, name: str, n: int = 1) -> None:
        super().add(language, name, n)
        assert language == "python"
        self.n[name] += n


def outcome(editor: Editor) -> tuple[int, int, int, int]:
    return tuple(editor.counts.n[name] for name in ("shown", "whole", "part", "typed"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["add(first, second)"], (1, 1, 0, 0)),
        ([*"add(", "first, second)"], (1, 1, 0, 0)),  # typed along, then taken
        ([*"add(first, second)"], (1, 0, 0, 1)),
        (["add", "(first", "x"], (1, 0, 1, 0)),  # word by word, then something else
        (["add", *"(first, second)"], (1, 0, 1, 0)),
        (["x"], (1, 0, 0, 0)),
        (["a", "x"], (1, 0, 0, 0)),
        (["subtract(first)"], (1, 0, 0, 0)),  # pasted
    ],
)
def test_taken_whole_or_in_part_typed_through_or_left(
    steps: Sequence[str], expected: tuple[int, int, int, int]
) -> None:
    editor = Editor("x = 1\ntotal = \nprint()\n", row=1)
    editor.shown("add(first, second)")
    for text in steps:
        editor.put(text)
    editor.outcomes.forget(editor.document.uri)
    assert outcome(editor) == expected


def test_what_was_claimed_is_kept_until_it_is_known_what_became() -> None:
    editor = Editor("total = ")
    editor.shown("add(first)")
    editor.shown("sub(first)")
    assert (editor.counts.n["ended"], editor.counts.n["claimed"]) == (1, 61)
    editor.keys("sub(first)")
    assert (editor.counts.n["ended"], editor.counts.n["claimed"]) == (2, 122)


def test_the_rest_of_what_is_shown_is_not_shown_anew() -> None:
    editor = Editor("total = ")
    editor.shown("add(first, second)")
    editor.keys("add(")
    editor.shown("first, second)")
    editor.shown("second, first)")
    assert editor.counts.n["shown"] == 2


def test_an_auto_closed_bracket_is_a_key_and_a_take_goes_over_it() -> None:
    editor = Editor("total = add")
    editor.shown("(first, second)")
    editor.put("()")
    editor.put("f", column=12)
    assert outcome(editor) == (1, 0, 0, 0)
    editor.replace(0, 13, 14, "irst, second)")
    assert editor.document.source == LINE
    assert outcome(editor) == (1, 1, 0, 0)


def test_what_is_typed_over_a_closer_is_typed() -> None:
    editor = Editor("add(x)")
    editor.shown("y)", over=1)
    editor.replace(0, 5, 5, "y")
    assert (editor.document.source, outcome(editor)) == ("add(xy)", (1, 0, 0, 1))


def test_several_lines_are_taken_at_once_or_line_by_line() -> None:
    block = "for x in a:\n    print(x)\n    done()"
    editor = Editor("\nend\n")
    editor.shown(block)
    editor.put(block)
    assert outcome(editor) == (1, 1, 0, 0)
    editor = Editor("\nend\n")
    editor.shown(block)
    editor.put("for x in a:")
    editor.put("\n    print(x)")
    editor.row = 1
    editor.shown("\n    done()")
    editor.put("\n    done()")
    assert outcome(editor) == (1, 1, 0, 0)


def test_one_of_several_that_were_asked_for() -> None:
    editor = Editor("total = ")
    editor.shown("add(first, second)", "add(a)", "sum(a)")
    editor.put("sum(a)")
    assert outcome(editor) == (1, 1, 0, 0)


def test_an_import_above_moves_what_is_shown() -> None:
    editor = Editor("import a\ntotal = \n", row=1)
    editor.shown("add(first)")
    editor.put("import b\n", row=0, column=0)
    editor.put("add(first)", row=2)
    assert outcome(editor) == (1, 1, 0, 0)


def test_characters_saved_keys_and_time() -> None:
    editor = Editor("total = ")
    editor.shown("add(first, second)")
    editor.keys("add(")
    editor.put("first, second)")
    counts = editor.counts.n
    assert (counts["keys"], counts["saved"], counts["within_4_ms"]) == (4, 13, 1)


def kept(editor: Editor) -> list[int]:
    names = ("looked_30", "kept_30", "looked_300", "kept_300")
    return [editor.counts.n[name] for name in names]


def test_what_was_taken_is_followed_to_where_it_is_moved() -> None:
    editor = Editor("import a\ntotal = \n", row=1)
    editor.shown("add(first)")
    editor.put("add(first)")
    editor.after(29)
    assert kept(editor) == [0, 0, 0, 0]
    editor.put("import b\nimport c\n", row=0, column=0)
    editor.replace(3, 0, 0, "\n")  # the line itself goes down
    editor.after(1)
    editor.replace(4, 8, 11, "mul")
    editor.after(300)
    assert kept(editor) == [1, 1, 1, 0]
    editor.after(300)
    assert kept(editor) == [1, 1, 1, 0]


def test_nothing_is_said_of_a_document_that_was_closed_or_replaced() -> None:
    editor = Editor("total = ")
    editor.shown("add(first)")
    editor.put("add(first)")
    editor.is_open = False
    editor.after(31)
    assert kept(editor) == [0, 0, 0, 0]
    editor = Editor("total = ")
    editor.shown("add(first)")
    editor.put("add(first)")
    change(editor.workspace, 3, [{"text": "total = add(first)"}])
    editor.outcomes.changed(editor.document)
    editor.after(31)
    assert kept(editor) == [0, 0, 0, 0]


def test_a_fault_in_counting_disturbs_nobody() -> None:
    class Broken(Statistics):
        def add(self, language: str, name: str, n: int = 1) -> None:
            raise RuntimeError("text of the user's")

    editor = Editor("total = ")
    editor.outcomes = Outcomes(Broken(), editor.find)
    editor.shown("add(first)")
    editor.put("add(first)")
