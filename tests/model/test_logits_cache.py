"""Scores found again by the ids that they follow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import logits_cache as known
from model.logits_cache import START, LogitsCache, name_after, names_after

some_ids = st.lists(st.integers(0, 1 << 20), max_size=6)


@given(some_ids, some_ids)
def test_names_are_the_same_for_the_same_ids_only(left: list[int], right: list[int]) -> None:
    names = [[START, *names_after(START, ids)][-1] for ids in (left, right)]
    assert (names[0] == names[1]) == (left == right)


def test_names_grow_one_id_at_a_time() -> None:
    first, second = names_after(START, [7, 8])
    assert first == name_after(START, 7)
    assert second == name_after(first, 8)


def test_row_is_found_by_its_name() -> None:
    scores = LogitsCache()
    name = name_after(START, 1)
    assert scores.get(name) is None
    row = np.ones(3, np.float32)
    scores.put(name, row)
    assert scores.get(name) is row
    scores.clear()
    assert scores.get(name) is None


def test_rows_not_asked_for_the_longest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_KNOWN_BYTES", 2 * 4 * 10)
    scores = LogitsCache()
    names = names_after(START, [1, 2, 3])
    scores.put(names[0], np.zeros(10, np.float32))
    scores.put(names[1], np.zeros(10, np.float32))
    assert scores.get(names[0]) is not None
    scores.put(names[2], np.zeros(10, np.float32))
    assert [scores.get(name) is not None for name in names] == [True, False, True]


def test_one_row_is_kept_however_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_KNOWN_BYTES", 8)
    scores = LogitsCache()
    scores.put(START, np.zeros(10, np.float32))
    assert scores.get(START) is not None
