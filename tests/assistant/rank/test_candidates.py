"""Whole-line candidates: texts, what speaks for them, and what does not fit the cursor."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.index.matches import FOLLOWING_BYTES, Level, Occurrence, TextSource, nested_levels
from assistant.rank.candidates import (
    MAX_CANDIDATES,
    MAX_LINE_BYTES,
    Cursor,
    Proposal,
    continuation,
    propose,
)


class Texts:
    """A memory over a few texts, without an index."""

    def __init__(self, **files: str) -> None:
        self.files = {f"pkg/{name}.py": text.encode() for name, text in files.items()}

    def levels(self, context: bytes, *, path: str, max_levels: int = 6, **_: object) -> list[Level]:
        sources = [
            TextSource(text, context, path=name, layer="repo")
            for name, text in self.files.items()
            if name != path
        ]
        return nested_levels(sources, max_levels)


def proposed(text: str, memory: Texts | None = None, path: str = "pkg/here.py") -> Proposal:
    """Propose at the mark `|` in `text`."""
    offset = text.index("|")
    cursor = Cursor.of(path, text.replace("|", ""), offset)
    return propose(cursor, memory)


def texts(proposal: Proposal) -> list[str]:
    return [candidate.text for candidate in proposal.candidates]


def test_longest_match_comes_first_and_shorter_ones_follow() -> None:
    memory = Texts(a="    value = load(path)\n", b="value = load(other)\nx = load(None)\n")
    assert texts(proposed("def f():\n    value = load(|\n", memory))[:2] == ["path)", "other)"]


def test_same_text_from_both_sources_is_one_candidate() -> None:
    memory = Texts(a="total += item.price\n")
    proposal = proposed("total += item.price\nx = 1\ntotal += item.|\n", memory)
    (candidate,) = [c for c in proposal.candidates if c.text == "price"]
    assert candidate.document.longest >= len("total += item.")
    assert candidate.repository.longest == len("total += item.")
    assert candidate.neighbour == candidate.repository.longest  # the same folder


def test_shares_count_the_places_of_a_level() -> None:
    calls = "".join(f"{name}\nx = size({name})\n" for name in "aba")
    proposal = proposed(f"{calls}y\nx = size(|\n")
    by_text = {candidate.text: candidate.document for candidate in proposal.candidates}
    assert by_text["a)"].share_deep == pytest.approx(2 / 3)
    assert by_text["b)"].share_deep == pytest.approx(1 / 3)


def test_next_line_that_agrees_is_counted() -> None:
    memory = Texts(a="call(one)\nresult = 1\n", b="call(two)\nother = 2\n")
    proposal = proposed("call(|\nresult = 1\n", memory)
    below = {candidate.text: candidate.below for candidate in proposal.candidates}
    assert below["one)"] == len("result = 1")
    assert below["two)"] == 0


def test_own_copy_in_the_memory_is_mute() -> None:
    memory = Texts(here="secret_plan = 1\n")
    assert texts(proposed("secret_|\n", memory)) == []


def test_nothing_across_the_cursor_or_from_its_own_line() -> None:
    assert texts(proposed("alpha_beta(|rest)\n")) == []


@pytest.mark.parametrize(
    ("following", "rest", "text"),
    [
        (b"name)\nnext", "", "name)"),
        (b"name)  \nnext", "", "name)"),
        (b"name)", "", "name)"),  # the end of a file
        (b"\nnext", "", ""),
        (b"name)\n", ")", "name)"),  # closed by the editor: typed over
        (b"name, 1)\n", ", 1)", "name"),
        (b"name, 2)\n", ", 1)", None),
        (b"name + other\n", " + other", "name"),
        (b"x" * FOLLOWING_BYTES, "", None),  # the end of the line is not to be seen
        (b"x" * (MAX_LINE_BYTES + 1) + b"\n", "", None),
        (b"\xff\n", "", None),
        (b"a\0b\n", "", None),
    ],
)
def test_continuation_is_the_rest_of_the_line(
    following: bytes, rest: str, text: str | None
) -> None:
    assert continuation(following, rest) == text


def test_share_of_places_whose_line_ends_here() -> None:
    proposal = proposed("return value\nx = 1\nreturn value\ny = 2\nreturn value|\n")
    assert proposal.ending == 1.0
    assert texts(proposal) == []


def test_memory_and_document_may_both_be_left_out() -> None:
    cursor = Cursor.of("a.py", "abc = 1\nabc", 11)
    assert propose(cursor, None, use_document=False).candidates == ()


def test_windows_path_is_compared_with_slashes() -> None:
    assert Cursor.of("pkg\\here.py", "x", 1).path == "pkg/here.py"


@settings(max_examples=60)
@given(st.text("ab(). \n\té", max_size=80), st.data())
def test_candidates_are_single_lines_that_stand_somewhere(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    proposal = propose(Cursor.of("a.py", text, offset), Texts(b=text))
    assert len(proposal.candidates) <= MAX_CANDIDATES
    for candidate in proposal.candidates:
        assert candidate.text
        assert "\n" not in candidate.text
        assert candidate.text in text
        assert max(candidate.document.longest, candidate.repository.longest) > 0


def test_occurrence_of_another_layer_is_the_repository_s() -> None:
    class Open:
        def levels(
            self, context: bytes, *, path: str, max_levels: int = 6, **_: object
        ) -> list[Level]:
            found = Occurrence(len(context), b"tail\n", "other/b.py", "open")
            return [Level(len(context), 1, (found,))]

    cursor = Cursor.of("pkg/a.py", "head_", 5)
    (candidate,) = propose(cursor, Open()).candidates
    assert (candidate.text, candidate.repository.longest, candidate.neighbour) == ("tail", 5, 0)
