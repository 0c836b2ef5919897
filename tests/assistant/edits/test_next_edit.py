"""What is proposed after an edit, and what is not."""

import pytest

from assistant.edits.history import Edit
from assistant.edits.next_edit import Confidence, NextEdits, find_begun, load_confidence


class Person:
    """Edits a document as an editor would tell it."""

    def __init__(self, text: str, path: str = "a.py") -> None:
        self.path = path
        self.lines = text.split("\n")
        self.product = NextEdits()
        self.row = 0

    def change(self, old: str, new: str) -> None:
        """Change the first line that holds `old`."""
        self.row = next(i for i, line in enumerate(self.lines) if old in line)
        line = self.lines[self.row]
        self.lines[self.row] = line.replace(old, new)
        self.product.note(self.path, self.row, [line], [self.lines[self.row]])
        lines = dict(enumerate(self.lines))
        self.product.history.surround(self.path, lambda row: lines.get(row, ""))

    def due(self, show: str = "balanced") -> list[tuple[int, tuple[str, ...]]]:
        edits = self.product.history.edits()
        found = self.product.propose(self.path, self.lines, self.row, edits, show)
        return [(edit.proposal.row, edit.proposal.new) for edit in found]


CALLS = """\
def load(urls):
    first = fetch(urls.first)
    other = 1
    second = fetch(urls.second)
    third = fetch(urls.third)
"""


def test_an_argument_added_to_one_call_is_due_in_the_others_for_who_asks() -> None:
    person = Person(CALLS)
    person.change("fetch(urls.first)", "fetch(urls.first, timeout=5)")
    assert dict(person.due("asked")) == {
        3: ("    second = fetch(urls.second, timeout=5)",),
        4: ("    third = fetch(urls.third, timeout=5)",),
    }


def test_the_same_line_is_due_by_itself_once_it_was_changed_twice() -> None:
    person = Person("a = load(x)\ny = 1\na = load(x)\nz = 2\na = load(x)\n")
    person.change("a = load(x)", "a = load(x, True)")
    person.change("a = load(x)", "a = load(x, True)")
    assert person.due() == [(4, ("a = load(x, True)",))]


def test_nothing_is_due_without_an_edit() -> None:
    assert Person(CALLS).due("asked") == []


def test_off_shows_nothing() -> None:
    person = Person(CALLS)
    person.change("fetch(urls.first)", "fetch(urls.first, timeout=5)")
    assert person.due("off") == []


def passed_over() -> tuple[Person, tuple[int, tuple[str, ...]]]:
    person = Person(CALLS)
    person.change("fetch(urls.first)", "fetch(urls.first, timeout=5)")
    edits = person.product.history.edits()
    offer = person.product.propose(person.path, person.lines, person.row, edits, "asked")[0]
    person.product.offered(person.path, offer)
    return person, (offer.proposal.row, offer.proposal.new)


def test_what_was_passed_over_does_not_come_back() -> None:
    person, offer = passed_over()
    person.change("other = 1", "other = 2")  # something else instead
    assert offer not in person.due("asked")


def test_what_was_waved_away_does_not_come_back() -> None:
    person, offer = passed_over()
    person.product.dismiss()
    assert offer not in person.due("asked")
    assert len(person.due("asked")) == 1


def test_a_secret_is_never_proposed() -> None:
    key = "AKIA" + "QZ7XK4PLM2N5RS6T"
    person = Person('a = connect("x")\nb = 1\nc = connect("x")\n')
    person.change('connect("x")', f'connect("{key}")')
    assert person.due("asked") == []


LOGIN = 'login(name="me", password="changeme")'
PASSWORD = "Hw7kq2xZ" + "pT9v!R4m"


def places_of(typed: str, lines: list[str], path: str) -> list[tuple[str, ...]]:
    """What a password put in place of a word teaches; more of it is to come."""
    edit = Edit(path="a.py", row=0, old=(LOGIN,), new=(LOGIN.replace("changeme", typed),))
    found = NextEdits().propose(path, lines, 0, [edit], "asked")
    return [each.proposal.new for each in found]


@pytest.mark.parametrize("n", range(1, len(PASSWORD) + 1))
def test_no_part_of_a_secret_is_proposed_in_another_document(n: int) -> None:
    assert places_of(PASSWORD[:n], ["x = 1", LOGIN], "b.py") == []


def test_a_secret_is_not_proposed_where_nothing_says_what_it_is() -> None:
    assert places_of(PASSWORD, ['x = "changeme"'], "a.py") == []
    edit = Edit("a.py", 1, ('    "changeme"',), (f'    "{PASSWORD}"',), "password = (", ")")
    found = NextEdits().propose("b.py", ["x = (", '    "changeme"', ")"], 0, [edit], "asked")
    assert found == []


def test_taking_a_secret_out_is_due_elsewhere_too() -> None:
    now = LOGIN.replace('"changeme"', "settings.password")
    edit = Edit("a.py", 0, (LOGIN.replace("changeme", PASSWORD),), (now,))
    other = Edit("b.py", 0, ("x = 1",), ("x = 2",))  # no longer typed
    lines = [now, LOGIN.replace("changeme", PASSWORD)]
    found = NextEdits().propose("a.py", lines, 0, [edit, other], "asked")
    assert [each.proposal.new for each in found] == [(now,)]


def test_an_undone_edit_proposes_nothing() -> None:
    person = Person(CALLS)
    person.change("fetch(urls.first)", "fetch(urls.first, timeout=5)")
    person.change("fetch(urls.first, timeout=5)", "fetch(urls.first)")
    assert person.due("asked") == []


def test_an_edit_taken_back_below_lines_put_in_since_proposes_nothing() -> None:
    person = Person("import a\n\n" + CALLS)
    person.change("fetch(urls.first)", "fetch(urls.first, timeout=5)")
    person.lines.insert(0, "import b")
    person.product.note("a.py", 0, ["import a"], ["import b", "import a"])
    person.change("fetch(urls.first, timeout=5)", "fetch(urls.first)")
    assert person.due("asked") == []


def test_edits_of_a_text_that_was_put_back_propose_nothing() -> None:
    person = Person("a = load(x)\ny = 1\na = load(x)\nz = 2\na = load(x)\n")
    before = [*person.lines]
    person.change("a = load(x)", "a = load(x, True)")
    person.change("a = load(x)", "a = load(x, True)")
    person.product.history.interrupt("a.py")
    person.lines = before
    assert person.due("asked") == []


def test_an_edit_that_was_corrected_is_due_as_corrected() -> None:
    person = Person("a = load(x)\ny = 1\na = load(x)\nz = 2\n")
    person.change("a = load(x)", "a = load(x, True)")
    person.change("z = 2", "z = 3")
    person.change("True", "False")
    assert person.due("asked") == [(2, ("a = load(x, False)",))]


def test_another_document_s_edit_is_due_here_too() -> None:
    person = Person("x = fetch(a)\nx = fetch(a)\n", "a.py")
    person.change("fetch(a)", "fetch(a, timeout=5)")
    person.change("fetch(a)", "fetch(a, timeout=5)")
    edits, lines = person.product.history.edits(), ["x = fetch(a)"]
    asked = person.product.propose("b.py", lines, 0, edits, "asked")
    assert [edit.proposal.new for edit in asked] == [("x = fetch(a, timeout=5)",)]


SURE = Confidence(weights={"same line": {"bias": 9.0}, "like line": {"bias": 9.0}},
                  thresholds={"balanced": 0.5, "asked": 0.5})  # fmt: skip


def test_another_document_teaches_the_very_same_line_only_unless_asked() -> None:
    edit = Edit(path="a.py", row=0, old=("a = get(u)",), new=("a = get(u, timeout=5)",))
    lines = ["a = get(u)", "b = get(v)"]
    product = NextEdits(SURE)
    rows = {
        show: {found.proposal.row for found in product.propose("b.py", lines, 0, [edit], show)}
        for show in ("balanced", "asked")
    }
    assert rows == {"balanced": {0}, "asked": {0, 1}}


def rest(typed: str, column: int, was: str = "b = get(v)") -> str:
    first = Edit(path="a.py", row=0, old=("a = get(u)",), new=("a = get(u, timeout=5)",))
    edits = [first]
    if typed != was:
        edits.append(Edit(path="a.py", row=1, old=(was,), new=(typed,)))
    lines = ["a = get(u, timeout=5)", typed]
    begun = find_begun("a.py", 1, typed, edits)
    return (begun and NextEdits(SURE).finish("a.py", lines, (1, column), begun, "balanced")) or ""


def test_an_edit_begun_at_the_cursor_is_finished() -> None:
    assert rest("b = get(v, ti)", 13) == "meout=5"
    assert rest("b = get(v, )", 11) == "timeout=5"
    assert rest("b = get(v)", 9) == ", timeout=5"  # the cursor stands where it is due


def test_what_goes_another_way_is_not_finished() -> None:
    assert rest("b = get(v, x)", 12) == ""
    assert rest("b = get(v)", 8) == ""
    assert rest("z", 1, "z") == ""


@pytest.mark.parametrize("show", ["quiet", "balanced", "eager"])
def test_the_package_knows_every_level(show: str) -> None:
    thresholds = load_confidence().thresholds
    assert 0.0 < thresholds[show] < 1.0
    assert thresholds["eager"] <= thresholds["balanced"] <= thresholds["quiet"]
