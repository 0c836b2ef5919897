"""Progress through several kinds of work, one line with the time left for each kind."""

from __future__ import annotations

from typing import Protocol

from training.data.progress import Progress


class OnProgress(Protocol):
    """Told after each step how far a kind of work has come."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Take `done` of `total` steps of `what`."""


class Phases:
    """Shows a line on stderr for the kind of work that is under way."""

    def __init__(self) -> None:
        self._what = ""
        self._line = Progress("", 1)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far `what` has come."""
        if what != self._what:
            self._what, self._line = what, Progress(what, total)
        self._line.show(done, last=done >= total)
