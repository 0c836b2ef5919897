"""Runs of words: equal where the words are, whatever is between them."""

from __future__ import annotations

from training.data.word_runs import WordRunHasher, words_of


def test_only_words_count_and_their_case_does_not() -> None:
    one, other = "def add(first, second): return first", "DEF add first second\n return FIRST;"
    hasher = WordRunHasher(5)
    assert words_of(one) == ["def", "add", "first", "second", "return", "first"]
    assert hasher.hashes(words_of(one)).tolist() == hasher.hashes(words_of(other)).tolist()
    assert len(hasher.hashes(words_of(one))) == 2


def test_order_counts() -> None:
    hasher = WordRunHasher(2)
    ab, ba = hasher.hashes(["a", "b", "a"]).tolist()
    assert ab != ba
    assert hasher.hashes(["b", "a"]).tolist() == [ba]


def test_fewer_words_than_a_run_have_none() -> None:
    assert len(WordRunHasher(3).hashes(["a", "b"])) == 0


def test_hash_is_the_same_on_every_machine() -> None:
    (found,) = WordRunHasher(1).hashes(["Word"]).tolist()
    assert found == 5378651625018068629
