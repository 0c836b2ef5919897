"""What this machine does: how many threads a run should use, and how fast its products are."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

_ROUNDS = 3
_CPU_PRODUCT, _GPU_PRODUCT = (2_048, 512), (8_192, 8_192)  # rows, width
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


def product_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of large matrix products: what a step is held against."""
    rows, width = _GPU_PRODUCT if device.type == "cuda" else _CPU_PRODUCT
    dice = torch.Generator(device).manual_seed(0)
    a = torch.randn(rows, width, dtype=dtype, device=device, generator=dice)
    b = torch.randn(width, width, dtype=dtype, device=device, generator=dice)
    seconds = []
    for _ in range(2 * _ROUNDS):
        start = time.perf_counter()
        float((a @ b)[0, 0])  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 2 * rows * width * width / min(seconds)
