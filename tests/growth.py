"""How fast work grows with its input: a ratio of CPU times in one run, alike on any processor."""

import time
from collections.abc import Callable

LONGER = 16
#: linear work grows by 16, quadratic by 256
LINEAR = 64.0


def cpu_s(work: Callable[[], object], times: int) -> float:
    """Return the least CPU time of this thread over several runs."""
    durations = []
    for _ in range(times):
        begin = time.thread_time()
        work()
        durations.append(time.thread_time() - begin)
    return min(durations)


def growth(work: Callable[[int], object], size: int) -> float:
    """Return how many times as long `work(LONGER * size)` takes as `work(size)`.

    A neighbour that empties the caches makes it look longer: then it is measured again.
    """
    least = float("inf")
    for _ in range(3):
        long_s, short_s = cpu_s(lambda: work(LONGER * size), 1), cpu_s(lambda: work(size), 2)
        least = min(least, long_s / max(short_s, 1e-4))
        if least < LINEAR:
            break
    return least
