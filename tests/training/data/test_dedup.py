"""Duplicates: equal up to white space, nearly equal, and like what models are judged by."""

import random

import pytest

from training.data.decontaminate import SHINGLE_WORDS, Duplicates, hash_runs, words_of


def text(seed: int, n_words: int = 600) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(5_000)}" for _ in range(n_words))


def edited(original: str, n_edits: int, seed: int = 0) -> str:
    """Replace words at random places."""
    rng = random.Random(seed)
    words = original.split()
    for place in rng.sample(range(len(words)), n_edits):
        words[place] = f"new{place}"
    return " ".join(words)


def jaccard(one: str, other: str) -> float:
    """Return the exact similarity that sketches estimate."""
    first, second = (
        set(hash_runs(words_of(each), SHINGLE_WORDS).tolist()) for each in (one, other)
    )
    return len(first & second) / len(first | second)


def is_near(one: str, other: str, threshold: float = 0.8) -> bool:
    return reasons([one, other], threshold=threshold) == ["", "near duplicate"]


@pytest.mark.parametrize("seed", range(20))
def test_similar_texts_are_found_and_others_are_not(seed: int) -> None:
    one = text(seed)
    near, far = edited(one, 6, seed), edited(one, 40, seed)
    assert jaccard(one, near) > 0.88
    assert jaccard(one, far) < 0.65
    assert is_near(one, near)
    assert not is_near(one, far)
    assert not is_near(one, text(seed + 1000))


def test_threshold_decides() -> None:
    one = text(0)
    other = edited(one, 20)
    assert 0.65 < jaccard(one, other) < 0.8
    assert is_near(one, other, threshold=0.5)
    assert not is_near(one, other, threshold=0.95)


def test_one_is_found_among_many() -> None:
    texts = [text(seed, 80) for seed in range(400)]
    assert reasons([*texts, text(217, 80) + " one more word"]) == [""] * 400 + ["near duplicate"]


def code(name: str, n_functions: int = 20) -> str:
    return "".join(f"def {name}_{i}(x):\n    return x * {i}\n\n" for i in range(n_functions))


def reasons(texts: list[str], *, threshold: float = 0.8, judged: str = "") -> list[str]:
    duplicates = Duplicates(threshold)
    duplicates.keep_out(judged)
    return [duplicates.reason(text) for text in texts]


def test_white_space_makes_no_difference_and_short_texts_are_compared_as_they_are() -> None:
    assert reasons(["a = 1\n\n\tb", "a  = 1\r\nb\n", "a = 2"]) == ["", "duplicate", ""]


def test_first_of_equal_or_similar_texts_is_kept() -> None:
    texts = [code("a"), code("b"), code("a") + "x = 1\n", code("a").replace("\n\n", "\n"), "x"]
    assert reasons(texts) == ["", "", "near duplicate", "duplicate", ""]


def test_text_like_a_judged_one_stays_out() -> None:
    near = code("a") + "x = 1\n"
    assert reasons([near, near], judged=code("a")) == ["near an evaluation file", "duplicate"]


def test_without_a_threshold_only_equal_texts_are_duplicates() -> None:
    texts = [code("a"), code("a") + "x = 1\n", code("a")]
    assert reasons(texts, threshold=0, judged=code("a")) == ["", "", "duplicate"]
