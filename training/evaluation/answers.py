"""What a system offers at a cursor, and how it is judged against what the author wrote."""

from __future__ import annotations

import dataclasses
import time

MIN_RIGHT_CHARS = 2  # a shorter right beginning saves nobody a keystroke


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A system's offer for the rest of the cursor's line."""

    text: str  # no newline, no white space at its end; empty: nothing is offered
    probability: float  # what the system says of it, 0..1; if uncalibrated, only the order counts
    ms: float  # of the call, and nothing else
    cpu_ms: float  # CPU time of it: what a busy machine cannot inflate


class Stopwatch:
    """Times one call, from here to its answer."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def answer(self, text: str, probability: float) -> Answer:
        """Return the answer with its times."""
        wall_s, cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        return Answer(text=text, probability=probability, ms=1_000 * wall_s, cpu_ms=1_000 * cpu_s)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """An answer, and what it is worth."""

    answer: Answer
    is_exact: bool  # the whole rest of the line
    is_right: bool  # a beginning of it, of two characters or more, or all of it

    @property
    def is_offered(self) -> bool:
        """Say whether there is anything that could be shown."""
        return bool(self.answer.text)


def judge(answer: Answer, truth: str) -> Judged:
    """Compare an answer with what was written there."""
    right = is_right(answer.text, truth)
    return Judged(answer=answer, is_exact=answer.text == truth, is_right=right)


def is_right(text: str, truth: str) -> bool:
    """Say whether an author about to write `truth` could take `text` as it is.

    >>> is_right("fo", "foo()"), is_right("f", "foo()"), is_right(")", ")"), is_right("fob", "foo")
    (True, False, True, False)
    """
    wanted = min(MIN_RIGHT_CHARS, len(truth))
    return bool(text) and len(text) >= wanted and truth.startswith(text)
