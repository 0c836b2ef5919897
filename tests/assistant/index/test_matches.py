"""Levels of one document, against a counter that compares everything with everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.index.matches import (
    MAX_SAMPLED,
    MIN_MATCH,
    Level,
    document_levels,
    spread,
)
from tests.assistant.index.brute_force import expected_shape

few_letters = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\x00", b"\xff", "é".encode()])).map(
    b"".join
)


def shape(levels: list[Level]) -> list[tuple[int, int]]:
    return [(level.length, level.count) for level in levels]


@settings(max_examples=60)
@given(before=few_letters, after=few_letters)
def test_levels_are_those_of_a_brute_force_count(before: bytes, after: bytes) -> None:
    levels = document_levels(before, after, path="x.py", max_levels=99)
    places = [(before, place) for place in range(len(before))]
    places += [(after, place) for place in range(len(after) + 1)]
    assert shape(levels) == expected_shape(places, before)


@settings(max_examples=30)
@given(unit=few_letters.filter(bool), n=st.integers(1, 200))
def test_repetitive_text_is_counted_right(unit: bytes, n: int) -> None:
    before = (unit * n)[:400]
    levels = document_levels(before, b"", path="x.py", max_levels=99)
    places = [(before, place) for place in range(len(before))]
    assert shape(levels) == expected_shape(places, before)


def test_what_follows_is_read_off_the_text() -> None:
    before = b"value = compute(first)\nprint(value)\nother = compute("
    (level, *_) = document_levels(before, b"", path="a/x.py")
    (found,) = level.occurrences
    assert found.following.startswith(b"first)\nprint(value)\n")
    assert (found.length, found.path, found.layer) == (len(b" = compute("), "a/x.py", "file")


def test_text_after_the_cursor_counts() -> None:
    (level, *_) = document_levels(b"x = self.na", b"y = self.name\n", path="x.py")
    assert level.occurrences[0].following == b"me\n"


def test_nothing_matches_or_continues_across_the_cursor() -> None:
    before, after = b"abcdefgh_abcd", b"efgh_abcdZZ"
    for level in document_levels(before, after, path="x.py", max_levels=99):
        for found in level.occurrences:
            assert found.length <= 9
            assert found.following in (b"efgh_abcd", b"ZZ")


def test_following_is_bounded() -> None:
    before = b"call(" + b"y" * 1000 + b"call("
    (level,) = document_levels(before, b"", path="x.py")
    assert level.occurrences[0].following == b"y" * 160


def test_agreement_beyond_the_longest_context_is_not_measured() -> None:
    text = bytes(np.random.default_rng(0).integers(97, 123, 700, dtype=np.uint8))
    (level, *_) = document_levels(text + b"|" + text, b"", path="x.py")
    assert (level.length, level.count) == (512, 1)


def test_many_occurrences_are_sampled_evenly_and_counted_exactly() -> None:
    before = b"".join(b"row %d\n" % (n % 10) for n in range(1000)) + b"row "
    levels = document_levels(before, b"", path="x.py")
    last = levels[-1]
    assert last.count == 999  # the first has no line before it
    assert len(last.occurrences) == MAX_SAMPLED == 64
    assert len({found.following[:1] for found in last.occurrences}) == 10


def test_the_longest_match_comes_first() -> None:
    before = b"one.alpha(\ntwo.alpha(\ntwo.alpha("
    levels = document_levels(before, b"", path="x.py")
    lengths = [found.length for found in levels[-1].occurrences]
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("before", [b"", b"abc", b"abcd", b"nothing twice"])
def test_text_without_a_match_has_no_level(before: bytes) -> None:
    assert document_levels(before, b"", path="x.py") == []
    assert document_levels(before + b"abcd" + before + b"abcd", b"", path="x", max_levels=0) == []


def test_levels_are_not_shorter_than_the_least_match() -> None:
    before = b"    if x:\n        y\n    if z:\n        "
    assert all(level.length >= MIN_MATCH for level in document_levels(before, b"", path="x"))


def test_four_bytes_are_enough() -> None:
    assert shape(document_levels(b"abcd", b"abcdX", path="x")) == [(4, 1)]
    assert shape(document_levels(b"abc", b"abcX", path="x")) == []
    assert shape(document_levels(b"abcd", b"abc", path="x")) == []


def test_there_are_six_levels_if_nothing_else_is_said() -> None:
    context = b"abcdefghijklmnop"
    after = b"".join(b"|" + context[-n:] for n in range(4, 14) for _ in range(2**14 >> n))
    levels = document_levels(context, after, path="x")
    assert len(levels) == 6
    more = document_levels(context, after, path="x", max_levels=99)
    assert len(more) > 6 and shape(more)[:6] == shape(levels)


def test_nobody_who_has_gone_is_answered_further() -> None:
    text = b"alpha(x)\nbeta(x)\nalpha("
    levels = document_levels(text, text, path="x", should_stop=lambda: True)
    assert len(levels) == 1 < len(document_levels(text, text, path="x"))


def test_a_long_text_that_repeats_itself_is_looked_at_for_a_while_only() -> None:
    levels = document_levels(b"ab" * 100_000, b"", path="x", max_levels=1)
    assert levels[0].length == 512 and levels[0].count >= 1_000


def test_spread_takes_all_of_few() -> None:
    assert spread(0, 5).tolist() == []
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert spread(10, 5).tolist() == [0, 2, 4, 6, 8]
