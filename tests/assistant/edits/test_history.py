"""Keystrokes become edits: joined where they touch, undone to nothing, bounded."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from assistant.edits.history import MAX_EDITS, MAX_LINES, Edit, EditHistory


@dataclass
class Document:
    """A text that tells a history of its changes."""

    lines: list[str]
    history: EditHistory
    path: str = "a.py"
    start: list[str] = field(default_factory=list)

    def replace(self, row: int, n_old: int, new: list[str]) -> None:
        old = self.lines[row : row + n_old]
        self.lines[row : row + n_old] = new
        self.history.note(self.path, row, old, new)

    def type_key_by_key(self, row: int, text: str) -> None:
        for character in text:
            self.replace(row, 1, [self.lines[row] + character])


def shapes(history: EditHistory) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    return [(edit.row, edit.old, edit.new) for edit in history.edits()]


def test_keys_typed_in_a_line_are_one_edit() -> None:
    document = Document(["a", "f(", "b"], EditHistory())
    document.type_key_by_key(1, "x, y)")
    assert shapes(document.history) == [(1, ("f(",), ("f(x, y)",))]


def test_lines_typed_below_each_other_are_one_edit() -> None:
    document = Document(["a", "b"], EditHistory())
    document.replace(0, 1, ["a", ""])
    document.type_key_by_key(1, "x = 1")
    assert shapes(document.history) == [(1, (), ("x = 1",))]


def test_a_change_elsewhere_begins_another_edit() -> None:
    document = Document(["a", "b", "c", "d"], EditHistory())
    document.type_key_by_key(0, "1")
    document.type_key_by_key(3, "2")
    assert shapes(document.history) == [(0, ("a",), ("a1",)), (3, ("d",), ("d2",))]


def test_what_is_undone_is_no_edit() -> None:
    document = Document(["a", "b"], EditHistory())
    document.replace(0, 1, ["ax"])
    document.replace(0, 1, ["a"])
    assert document.history.edits() == []


def test_edits_undone_one_after_another_are_no_edits() -> None:
    document = Document(["a", "b", "c", "d"], EditHistory())
    document.replace(0, 1, ["ax"])
    document.replace(3, 1, ["d", "new"])
    document.replace(1, 1, ["bx"])
    for row, n, lines in ((1, 1, ["b"]), (3, 2, ["d"])):  # the first stands
        document.replace(row, n, lines)
    assert shapes(document.history) == [(0, ("a",), ("ax",))]
    document.replace(0, 1, ["a"])
    assert document.history.edits() == []


def test_a_mass_of_lines_is_no_person_s_edit() -> None:
    document = Document(["a"], EditHistory())
    document.replace(0, 1, ["x"] * (MAX_LINES + 1))
    assert document.history.edits() == []


def test_old_edits_are_forgotten() -> None:
    now_s = 0.0
    history = EditHistory(clock_s=lambda: now_s)
    document = Document([str(row) for row in range(8 * MAX_EDITS)], history)
    for row in range(0, 8 * MAX_EDITS, 4):
        document.replace(row, 1, ["x"])
    assert len(history.edits()) == MAX_EDITS + 1  # and the one under way
    now_s = 1e9
    assert history.edits() == []
    document.replace(1, 1, ["y"])
    assert shapes(history) == [(1, ("1",), ("y",))]


def test_a_closed_document_s_edits_are_forgotten() -> None:
    history = EditHistory()
    Document(["a"], history, "a.py").replace(0, 1, ["x"])
    Document(["b"], history, "b.py").replace(0, 1, ["y"])
    history.forget("a.py")
    assert [edit.path for edit in history.edits()] == ["b.py"]


def test_an_edit_knows_the_lines_around_it() -> None:
    document = Document(["above", "x", "below"], EditHistory())
    document.replace(1, 1, ["y"])
    lines = dict(enumerate(document.lines))
    document.history.surround("a.py", lambda row: lines.get(row, ""))
    (edit,) = document.history.edits()
    assert (edit.before, edit.after) == ("above", "below")


@given(st.data())
def test_an_edit_under_way_is_just_the_difference(data: st.DataObject) -> None:
    start = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
    document = Document(list(start), EditHistory())
    before = list(start)
    for _ in range(data.draw(st.integers(1, 12))):
        row = data.draw(st.integers(0, len(document.lines)))
        n_old = data.draw(st.integers(0, min(3, len(document.lines) - row)))
        new = data.draw(st.lists(st.sampled_from("abxy"), max_size=3))
        n_done = len(document.history._done)
        at_hand = list(document.lines)
        document.replace(row, n_old, new)
        if len(document.history._done) != n_done or not document.history._open:
            before = at_hand  # another edit began here
    for edit in document.history.edits()[len(document.history._done) :]:
        assert undo(document.lines, edit) == before


def undo(lines: list[str], edit: Edit) -> list[str]:
    return [*lines[: edit.row], *edit.old, *lines[edit.row + len(edit.new) :]]
