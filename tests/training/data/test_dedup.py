"""Duplicates: equal up to white space, nearly equal, and like what models are judged by."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys

import pytest
import rensa

from training.data.dedup import N_PERMUTATIONS, SHINGLE_WORDS, Duplicates, Sketcher, fingerprint
from training.data.word_runs import WordRunHasher, words_of


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
        set(WordRunHasher(SHINGLE_WORDS).hashes(words_of(each)).tolist()) for each in (one, other)
    )
    return len(first & second) / len(first | second)


def sketch_of(of: str) -> rensa.RMinHash:
    sketch = Sketcher().sketch(of)
    assert sketch is not None
    return sketch


def is_near(one: str, other: str, threshold: float = 0.8) -> bool:
    return reasons([one, other], threshold=threshold) == ["", "near duplicate"]


def test_sketch_estimates_the_similarity() -> None:
    for n_edits in (2, 8, 20, 60):
        one = text(n_edits)
        other = edited(one, n_edits)
        estimate = sketch_of(one).jaccard(sketch_of(other))
        assert estimate == pytest.approx(jaccard(one, other), abs=0.1)
    assert len(sketch_of("a b c d e").digest()) == N_PERMUTATIONS


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


def test_text_shorter_than_a_run_has_no_sketch() -> None:
    assert Sketcher().sketch("just four words here") is None
    assert Sketcher().sketch("and these are five words") is not None


def test_sketch_is_the_same_in_another_process_and_on_the_way_there() -> None:
    sketch = sketch_of(text(3))
    assert pickle.loads(pickle.dumps(sketch)).digest() == sketch.digest()
    program = (
        "import sys\nfrom training.data.dedup import Sketcher\n"
        "print(sum(Sketcher().sketch(sys.argv[1]).digest()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, text(3)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == sum(sketch.digest())


def test_white_space_makes_no_difference() -> None:
    assert fingerprint("a = 1\n\n\tb") == fingerprint("a  = 1\r\nb\n")
    assert fingerprint("a = 1") != fingerprint("a = 2")
    assert len(fingerprint("")) == 16


def code(name: str, n_functions: int = 20) -> str:
    return "".join(f"def {name}_{i}(x):\n    return x * {i}\n\n" for i in range(n_functions))


def reasons(texts: list[str], *, threshold: float = 0.8, judged: str = "") -> list[str]:
    sketcher, duplicates = Sketcher(), Duplicates(threshold)
    duplicates.keep_out(sketcher.sketch(judged))
    return [duplicates.reason(fingerprint(text), sketcher.sketch(text)) for text in texts]


def test_first_of_equal_or_similar_texts_is_kept() -> None:
    texts = [code("a"), code("b"), code("a") + "x = 1\n", code("a").replace("\n\n", "\n"), "x"]
    assert reasons(texts) == ["", "", "near duplicate", "duplicate", ""]


def test_text_like_a_judged_one_stays_out() -> None:
    near = code("a") + "x = 1\n"
    assert reasons([near, near], judged=code("a")) == ["near an evaluation file", "duplicate"]


def test_without_a_threshold_only_equal_texts_are_duplicates() -> None:
    texts = [code("a"), code("a") + "x = 1\n", code("a")]
    assert reasons(texts, threshold=0, judged=code("a")) == ["", "", "duplicate"]
