"""Hashes of runs of words: what texts are compared by, whatever stands between the words.

Equal runs have equal hashes on every machine. Knows no text's origin and keeps none.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, so that powers of it never vanish modulo 2**64
_MAX_WORDS_KEPT = 1_000_000
NO_RUNS: NDArray[np.uint64] = np.zeros(0, np.uint64)


def words_of(text: str) -> list[str]:
    """Return the words of a text: letters, digits and underscores in one piece."""
    return _WORD.findall(text)


class WordRunHasher:
    """Hashes the runs of `n_words` words; letter case makes no difference."""

    def __init__(self, n_words: int) -> None:
        self.n_words = n_words
        self._hashes: dict[str, int] = {}  # of words: hashing each again is most of the work

    def hashes(self, words: list[str]) -> NDArray[np.uint64]:
        """Return a hash for each run, in order; none for fewer words than a run has."""
        n_runs = len(words) - self.n_words + 1
        if n_runs <= 0:
            return NO_RUNS
        if len(self._hashes) > _MAX_WORDS_KEPT:
            self._hashes.clear()
        for word in set(words).difference(self._hashes):
            self._hashes[word] = _word_hash(word)
        of_words = np.fromiter(map(self._hashes.__getitem__, words), np.uint64, len(words))
        total = np.zeros(n_runs, np.uint64)
        for i in range(self.n_words):  # a polynomial in the word hashes, modulo 2**64
            total = total * np.uint64(_MULTIPLIER) + of_words[i : i + n_runs]
        return total


def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.lower().encode(), digest_size=8).digest(), "big")
