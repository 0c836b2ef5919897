"""One line of progress on stderr: share done, counts, time left. Knows nothing of the work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

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

    def show(self, done: int, note: str = "", *, last: bool = False) -> None:
        """Show `done` units and a note, if it is time to or the work is over."""
        now_s = self._clock()
        interval_s = _TERMINAL_INTERVAL_S if self._is_terminal else _LOG_INTERVAL_S
        if not last and now_s - self._shown_s < interval_s:
            return
        self._shown_s = now_s
        spent_s = now_s - self._start_s
        left_s = spent_s * (self._total - done) / done if done else 0.0
        timing = f"took {_clock_text(spent_s)}" if last else f"left {_clock_text(left_s)}"
        line = f"{self._what} {done}/{self._total} ({100 * done // self._total}%) {timing} {note}"
        if self._is_terminal:
            self._stream.write(f"\r{line:<100}" + ("\n" if last else ""))
        else:
            self._stream.write(line.rstrip() + "\n")
        self._stream.flush()


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
