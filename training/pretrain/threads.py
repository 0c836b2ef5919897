"""How many threads a run should use, by trying: on a busy machine several wait for each other."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

_ROUNDS = 3
_WORTH = 0.9  # fewer threads than there are must take less than this share of the time


def choose_threads(
    work: Callable[[], None], most: int, *, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return how many threads, at most `most`, do the work fastest; torch has so many from here."""
    tried = sorted({most, max(1, most // 2), 1}, reverse=True)
    seconds = dict.fromkeys(tried, 0.0)
    if len(tried) > 1:
        work()  # the first time pays for memory
        for n in tried * _ROUNDS:  # in turns, and the sum of all: what else runs is a part of it
            torch.set_num_threads(n)
            start = clock()
            work()
            seconds[n] += clock() - start
    fastest = min(tried, key=seconds.__getitem__)
    chosen = fastest if seconds[fastest] < _WORTH * seconds[most] else most
    torch.set_num_threads(chosen)
    return chosen
