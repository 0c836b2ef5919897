"""Runs of words: equal where the words are, whatever is between them."""

from training.data.decontaminate import hash_runs, words_of


def test_only_words_count_and_their_case_does_not() -> None:
    one, other = "def add(first, second): return first", "DEF add first second\n return FIRST;"
    assert words_of(one) == ["def", "add", "first", "second", "return", "first"]
    assert hash_runs(words_of(one), 5).tolist() == hash_runs(words_of(other), 5).tolist()
    assert len(hash_runs(words_of(one), 5)) == 2


def test_order_counts() -> None:
    ab, ba = hash_runs(["a", "b", "a"], 2).tolist()
    assert ab != ba
    assert hash_runs(["b", "a"], 2).tolist() == [ba]


def test_fewer_words_than_a_run_have_none() -> None:
    assert len(hash_runs(["a", "b"], 3)) == 0


def test_hash_is_the_same_on_every_machine() -> None:
    (found,) = hash_runs(["Word"], 1).tolist()
    assert found == 5378651625018068629
