"""What a system offers at a cursor, how it is judged, and what typing with its help comes to.

The model of acceptance: before each key the system is asked once. If what it shows is right (a
beginning of what is about to be typed on this line, of two characters or more, or all of it), the
author takes the whole of it with one key. Otherwise the next character is typed. Nothing wrong is
ever taken, nothing is taken in part, reading costs nothing, indentation and line ends are not
counted. So this is the most that suggestions could save on such lines, not a forecast.
"""

import dataclasses
import time
from collections.abc import Sequence

MIN_RIGHT_CHARS = 2  # a shorter right beginning saves nobody a keystroke
ACCEPT_KEYS = 1


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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Keystrokes:
    """What typing one line came to."""

    n_chars: int  # of the line
    n_saved: int  # characters that were taken, less the keys that took them
    n_wrong: int  # times that a suggestion appeared and could not be taken

    @property
    def saved(self) -> float:
        """The share of characters saved."""
        return self.n_saved / self.n_chars


def type_line(line: str, answers: Sequence[Answer], threshold: float) -> Keystrokes:
    """Type `line`; `answers` has what is offered before each of its characters.

    Shown is what has at least the probability `threshold`. A wrong suggestion that stays the same
    while it is typed over appears once.
    """
    place = n_saved = n_wrong = 0
    last_wrong = ""  # what would stand there if the wrong suggestion shown last were taken
    while place < len(line):
        answer = answers[place]
        is_shown = bool(answer.text) and answer.probability >= threshold
        if is_shown and is_right(answer.text, line[place:]):
            n_saved += len(answer.text) - ACCEPT_KEYS
            place += len(answer.text)
            continue
        whole = line[:place] + answer.text if is_shown else ""
        n_wrong += bool(whole) and whole != last_wrong
        last_wrong = whole
        place += 1
    return Keystrokes(n_chars=len(line), n_saved=n_saved, n_wrong=n_wrong)
