"""What was used last stays."""

from model.lru import LRU


def test_the_entry_not_used_for_longest_goes() -> None:
    kept: LRU[str, int] = LRU(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.use("a") == 1
    kept.put("c", 3)
    assert dict(kept) == {"a": 1, "c": 3}
    assert kept.use("b") is None


def test_a_new_value_counts_as_use_and_takes_no_room() -> None:
    kept: LRU[str, int] = LRU(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        kept.put(key, value)
    assert dict(kept) == {"a": 3, "c": 4}
