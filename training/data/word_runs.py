"""Hashes of runs of words: what texts are compared by, whatever stands between the words.

Equal runs have equal hashes on every machine; letter case makes no difference.
"""

import functools
import hashlib
import re

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers of it never vanish modulo 2**64


def words_of(text: str) -> list[str]:
    """Return the words of a text: letters, digits and underscores in one piece."""
    return _WORD.findall(text)


def hash_runs(words: list[str], n_words: int) -> NDArray[np.uint64]:
    """Return a hash for each run of so many words, in order; none for fewer words."""
    n_runs = max(0, len(words) - n_words + 1)
    total = np.zeros(n_runs, np.uint64)
    if not n_runs:
        return total
    known = {word: _hash_word(word) for word in set(words)}
    of_words = np.fromiter(map(known.__getitem__, words), np.uint64, len(words))
    for i in range(n_words):  # a polynomial in the word hashes, modulo 2**64
        total = total * _MULTIPLIER + of_words[i : i + n_runs]
    return total


@functools.lru_cache(maxsize=1_000_000)  # hashing words again is most of the work
def _hash_word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.lower().encode(), digest_size=8).digest(), "big")
