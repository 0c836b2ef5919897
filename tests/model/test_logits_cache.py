"""Scores found again by the ids that they follow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import logits_cache
from model.logits_cache import START, make_logits_cache, name_after, names_after

some_ids = st.lists(st.integers(0, 1 << 20), max_size=6)


@given(some_ids, some_ids)
def test_names_are_the_same_for_the_same_ids_only(left: list[int], right: list[int]) -> None:
    names = [[START, *names_after(START, ids)][-1] for ids in (left, right)]
    assert (names[0] == names[1]) == (left == right)


def test_names_grow_one_id_at_a_time() -> None:
    first, second = names_after(START, [7, 8])
    assert first == name_after(START, 7)
    assert second == name_after(first, 8)


def test_the_cache_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logits_cache, "MAX_KNOWN_BYTES", 2 * 4 * 10)
    assert make_logits_cache(10).size == 2
    assert make_logits_cache(1_000).size == 1  # one row is kept however wide
