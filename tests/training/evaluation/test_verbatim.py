"""Copies are found token for token, never more and never fewer than a plain search finds."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.verbatim import CopySearch

CODE = "def area(width, height):\n    if width < 0:\n        raise ValueError(width)\n"  # 18 tokens


def search(texts: list[str], documents: list[str], run_tokens: int) -> dict[str, int]:
    found = CopySearch(texts, run_tokens=run_tokens)
    found.look_in(documents)
    return found.count_copies(range(len(texts)))


def test_copy_is_found_in_other_white_space() -> None:
    document = "import os\n" + CODE.replace("    ", "\t").replace(", ", ",") + "\nx = 1\n"
    assert search([CODE], ["y = 2\n", document], run_tokens=10) == {
        "n_text": 1,
        "n_long": 1,
        "n_copied": 1,
        "n_token": 18,
        "n_copied_token": 18,
    }


def test_renamed_copy_is_found_up_to_the_change() -> None:
    document = CODE.replace("raise", "return")
    assert search([CODE], [document], run_tokens=8) == {
        "n_text": 1,
        "n_long": 1,
        "n_copied": 1,
        "n_token": 18,
        "n_copied_token": 13,
    }
    assert search([CODE], [document], run_tokens=15)["n_copied"] == 0


def test_short_texts_are_counted_apart() -> None:
    found = search([CODE, "x = 1", ""], ["x = 1"], run_tokens=10)
    assert found == {"n_text": 3, "n_long": 1, "n_copied": 0, "n_token": 18, "n_copied_token": 0}


def test_parts_of_the_texts_are_reported_apart() -> None:
    found = CopySearch(["a b c", "d e f"], run_tokens=3)
    found.look_in(["x d e f"])
    assert [found.count_copies(range(i, i + 1))["n_copied"] for i in range(2)] == [0, 1]


def test_run_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token, not 0"):
        CopySearch([], run_tokens=0)


TEXTS = st.lists(st.text(alphabet="ab( ", max_size=12), max_size=4)


def by_plain_search(texts: list[str], documents: list[str], run_tokens: int) -> list[int]:
    corpus = [[token for token in text if token != " "] for text in documents]
    runs = [tuple(t[i : i + run_tokens]) for t in corpus for i in range(len(t) - run_tokens + 1)]
    counts = []
    for text in texts:
        tokens = [token for token in text if token != " "]
        covered = set()
        for start in range(len(tokens) - run_tokens + 1):
            if tuple(tokens[start : start + run_tokens]) in runs:
                covered |= {*range(start, start + run_tokens)}
        counts.append(len(covered))
    return counts


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_agrees_with_plain_search(texts: list[str], documents: list[str], run_tokens: int) -> None:
    texts, documents = ([" ".join(text) for text in side] for side in (texts, documents))
    found = CopySearch(texts, run_tokens=run_tokens)
    found.look_in(documents)
    copied = [found.count_copies(range(i, i + 1))["n_copied_token"] for i in range(len(texts))]
    assert copied == by_plain_search(texts, documents, run_tokens)


def test_memory_does_not_grow_with_the_corpus() -> None:
    def documents(n_document: int) -> Iterator[str]:
        for number in range(n_document):
            yield "".join(f"name_{number}_{line} = area({line})\n" for line in range(300))

    found = CopySearch([CODE], run_tokens=5)
    peaks = []
    for n_document in (2, 20):
        tracemalloc.start()
        found.look_in(documents(n_document))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
