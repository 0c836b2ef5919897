"""What changed in one line, made in another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.edits.history import (
    Edit,
    align,
    line_change,
    line_changes,
    replace_occurrences,
    split_tokens,
)


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("a = get(u)", "a = get(u, timeout=5)", "    b = get(v)", "    b = get(v, timeout=5)"),
        ("a = get(u)", "a = await get(u)", "  b = get(v)", "  b = await get(v)"),
        ("x.old(1)", "x.new(1)", "y.old(2)", "y.new(2)"),
        ("log(a, b)", "log(a)", "log(c, b)", "log(c)"),
        ("log(a)", "log(a, b)", "b = log(c)", "b = log(c, b)"),  # there, but at another spot
        ("log(a)", "log(a, 1)", "log(c, d)", "log(c, d, 1)"),
        ("#[derive(Debug)]", "#[derive(Debug, Eq)]", "#[derive(Debug)]", "#[derive(Debug, Eq)]"),
    ],
)
def test_a_line_like_it_takes_the_change(old: str, new: str, line: str, expected: str) -> None:
    change = line_change(old, new)
    assert change is not None
    aligned = align(change, line)
    assert aligned is not None
    assert aligned.line == expected


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("x.old(1)", "x.new(1)", "x.other(1)"),  # what was replaced is not there
        ("a = get(u)", "a = get(u, timeout=5)", "while True:"),  # not alike
        ("f(a)", "f(b)", "f(b)"),  # nothing to do
        # what is put in is there
        ("a = get(u)", "a = get(u, timeout=5)", "b = get(v, timeout=5)"),
        ("a = get(u)", "a = get(u, timeout=5)", "b = get(v, timeout=3)"),
        ("a = get(u)", "a = await get(u)", "b = await get(v)"),
        ("if (a) {", "if (!a) {", "if (!b) {"),
    ],
)
def test_a_line_without_the_changed_spot_is_left_alone(old: str, new: str, line: str) -> None:
    change = line_change(old, new)
    assert change is not None
    assert align(change, line) is None


def test_only_whole_words_are_replaced() -> None:
    change = line_change("size = 1", "n = 1")
    assert change is not None
    (hunk,) = change.hunks
    assert replace_occurrences(hunk, "f(size, resize, size)") == "f(n, resize, n)"
    assert replace_occurrences(hunk, "resize") is None


def test_signs_alone_are_not_looked_for() -> None:
    change = line_change("f(a)", "f[a]")
    assert change is not None
    assert all(replace_occurrences(hunk, "g(b)") is None for hunk in change.hunks)


def test_lines_changed_in_place_are_paired_beside_added_ones() -> None:
    edit = Edit(path="a", row=0, old=("a = 1", "b = 2"), new=("a = 10", "new", "b = 20"))
    assert [(change.old, change.new) for change in line_changes(edit)] == []
    edit = Edit(path="a", row=0, old=("a = 1", "b = 2"), new=("a = 10", "b = 20"))
    assert [(change.old, change.new) for change in line_changes(edit)] == [
        ("a = 1", "a = 10"),
        ("b = 2", "b = 20"),
    ]


@given(st.text())
def test_tokens_are_the_whole_line(line: str) -> None:
    assert "".join(split_tokens(line)) == line


@given(st.text("ab( ,)=_", max_size=20), st.text("ab( ,)=_", max_size=20))
def test_the_old_line_itself_becomes_the_new_one(old: str, new: str) -> None:
    change = line_change(old, new)
    if change is not None:
        assert align(change, change.old) == (change.new, 1.0, 1.0)
