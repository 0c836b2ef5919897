"""The memory's word on the next token, mixed into the network's: exact counts, whole vocabulary.

    P_m(x) = (c_m(x) + a_m P_(m-1)(x)) / (C_m + a_m)

from the shortest level of agreement to the longest, beginning with the network. c_m(x) counts the
places of a level that go on with token x, C_m is their sum, and a_m says how much a level of that
length has to be doubted. As the counts are exact, the result sums to one over the vocabulary. Knows
bytes, ids and probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.memory.matches import Level
from model.tokenizer import Tokenizer

Probabilities = NDArray[np.float64]

# how much the counts of a level are doubted, by its length in bytes: the first bound above it
_DOUBTS = ((8, 30.0), (12, 15.0), (16, 8.0), (24, 4.0), (40, 2.0), (64, 1.0))
_LEAST_DOUBT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class NextTokens:
    """With which tokens the places of one level go on."""

    length: int  # bytes of agreement
    counts: Mapping[int, int]  # token id -> places, each 1 or more


def doubt(length: int) -> float:
    """Return a_m for agreement by `length` bytes."""
    return next((value for bound, value in _DOUBTS if length < bound), _LEAST_DOUBT)


def next_tokens(level: Level, tokenizer: Tokenizer, rest: bytes = b"") -> NextTokens:
    """Count the tokens that follow at the level's places; each begins with the bytes `rest`.

    `rest` are bytes before the cursor that are to be spelled again. A place whose following text
    is cut off within its first token is not counted.
    """
    heads = Counter(occurrence.following[:_TOKEN_BYTES] for occurrence in level.occurrences)
    counts: Counter[int] = Counter()
    for head, count in heads.items():
        if head:
            counts[_first_token(tokenizer, rest + head)] += count
    return NextTokens(length=level.length, counts=counts)


_TOKEN_BYTES = 32  # enough to see where a token ends


def _first_token(tokenizer: Tokenizer, data: bytes) -> int:
    return tokenizer.encode_bytes(data)[0]


def mixed(network: Probabilities, levels: Sequence[NextTokens]) -> Probabilities:
    """Return the mixture; `levels` may come in any order, `network` sums to one."""
    result = network.astype(np.float64, copy=True)
    for level in sorted(levels, key=lambda each: each.length):
        total = sum(level.counts.values())
        if not total:
            continue
        weight = doubt(level.length)
        result *= weight / (total + weight)
        for id_, count in level.counts.items():
            result[id_] += count / (total + weight)
    return result
