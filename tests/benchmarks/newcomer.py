"""What the newcomers of `bench_newcomer` have in common: the file they type in, and the clock.

Knows no editor.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUDGET_S = 120
PATIENCE_S = 300.0
SOURCE = '''\
"""A shopping basket."""


class Basket:
    def __init__(self):
        self.prices = []

    def add(self, price):
        self.prices.append(price)

    def add_twice(self, price):
        self.prices.append(price)
'''
TYPED = "        self.prices."  # what the default of `show` is sure enough of
_TICKS = os.sysconf("SC_CLK_TCK")


class Clock:
    """Adds up steps: by the clock, and by the processor time of everything they started."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0
        self._busy_s, self._began_s = _busy_s(), time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started, used = time.monotonic(), _descendants_s()
        yield
        wall_s, cpu_s = time.monotonic() - started, _descendants_s() - used
        print(f"{name:36} {wall_s:8.1f} s   {cpu_s:8.1f} s of processor", flush=True)
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def summary(self) -> str:
        """Return the sums, and what ran beside."""
        seconds = time.monotonic() - self._began_s
        others = max(0.0, _busy_s() - self._busy_s - self.cpu_s) / seconds
        cores = len(os.sched_getaffinity(0))
        return (
            f"{'all':36} {self.wall_s:8.1f} s   {self.cpu_s:8.1f} s of processor\n"
            f"{cores} of {os.cpu_count()} processors were ours to use; meanwhile others used "
            f"{others:.1f} processors, load {os.getloadavg()[0]:.1f}"
        )


def _busy_s() -> float:
    """Return what all processors of the machine have worked since it started."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, soft = map(int, fields[:7])
    return (user + nice + system + irq + soft) / _TICKS


def _descendants_s() -> float:
    """Return the processor time of our children and theirs, the ended ones included."""
    used, parents = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # ended
        fields = text.rpartition(")")[2].split()
        pid = int(file.parent.name)
        parents[pid] = int(fields[1])
        own, ended = fields[11:13], fields[13:15]
        used[pid] = sum(map(int, ended if pid == os.getpid() else own + ended))

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return sum(ticks for pid, ticks in used.items() if is_ours(pid)) / _TICKS
