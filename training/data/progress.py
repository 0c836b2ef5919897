"""One line of progress on stderr: share done, counts, time left. Knows nothing of the work."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")
_TERMINAL_INTERVAL_S = 0.2
_LOG_INTERVAL_S = 10.0  # when the stream is a file, lines stay


class Progress:
    """Shows how far `total` units have come, no more often than a reader can follow."""

    def __init__(
        self,
        what: str,
        total: int,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = max(1, total)
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start_s = self._shown_s = clock()
        self._is_terminal = self._stream.isatty()
        self._is_open = False  # the line may still be rewritten
        self._is_over = False

    def show(
        self,
        done: int,
        note: str = "",
        *,
        last: bool = False,
        keep: bool = False,
        left_s: float | None = None,
    ) -> None:
        """Show `done` units and a note, if it is time to, the work is over, or the line is to stay.

        It is over when all is done or at the `last` call; then nothing more is shown. `left_s` is
        the time left; None: by what the units done took; not a finite number: unknown.
        """
        last = last or done >= self._total
        if self._is_over:
            return
        now_s, self._is_over = self._clock(), last
        interval_s = _TERMINAL_INTERVAL_S if self._is_terminal else _LOG_INTERVAL_S
        if not (last or keep) and now_s - self._shown_s < interval_s:
            return
        self._shown_s = now_s
        spent_s = now_s - self._start_s
        if left_s is None:
            left_s = spent_s * (self._total - done) / done if done else math.inf
        timing = f"left {time_text(left_s)} " if math.isfinite(left_s) else ""
        timing = f"took {time_text(spent_s)} " if last else timing
        line = f"{self._what} {done}/{self._total} ({100 * done // self._total}%) {timing}{note}"
        self._is_open = self._is_terminal and not (last or keep)
        start, end = "\r\x1b[K" * self._is_terminal, "\n" * (not self._is_open)
        self._stream.write(f"{start}{line.rstrip()}{end}")
        self._stream.flush()

    def end(self) -> None:
        """Let what is written next begin on its own line."""
        self._stream.write("\n" * self._is_open)
        self._is_open = False


def count_shown(what: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield the items, and show how many of `total` are done."""
    progress = Progress(what, total)
    for done, item in enumerate(items, start=1):
        yield item
        progress.show(done)


def say(line: str) -> None:
    """Tell the user what is done now."""
    sys.stderr.write(f"{line}\n")


def time_text(seconds: float) -> str:
    """Return a time for reading: "7 s", "25 min", "3 h 05 min", "4.2 days"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{seconds / 86_400:.1f} days"
