"""Characters saved: whole lines typed from left to right by an author who takes what is right.

The model of acceptance: before each key the system is asked once. If what it shows is right (a
beginning of what is about to be typed on this line, of two characters or more, or all of it), the
author takes the whole of it with one key. Otherwise the next character is typed. Nothing wrong is
ever taken, nothing is taken in part, reading costs nothing, indentation and line ends are not
counted. So this is the most that suggestions could save on such lines, not a forecast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from training.evaluation.answers import Answer, is_right
from training.evaluation.held_out import Task
from training.evaluation.replay.tasks import ReplayTask

ACCEPT_KEYS = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Keystrokes:
    """What typing one line came to."""

    n_chars: int  # of the line
    n_saved: int  # characters that were taken, less the keys that took them
    n_taken: int  # suggestions that were taken
    n_wrong: int  # times that a suggestion appeared and could not be taken

    @property
    def saved(self) -> float:
        """The share of characters saved."""
        return self.n_saved / self.n_chars


def cursors(asked: ReplayTask) -> list[Task]:
    """Return a task for each character of the line that `asked` has its cursor in."""
    end = asked.task.offset + len(asked.task.truth)
    text = asked.task.file.text
    return [
        Task(file=asked.task.file, offset=offset, truth=text[offset:end])
        for offset in range(asked.line_start, end)
    ]


def type_line(line: str, answers: Sequence[Answer], threshold: float) -> Keystrokes:
    """Type `line`; `answers` has what is offered before each of its characters.

    Shown is what has at least the probability `threshold`. A wrong suggestion that stays the same
    while it is typed over appears once.
    """
    place = n_saved = n_taken = n_wrong = 0
    last_wrong = ""  # what would stand there if the wrong suggestion shown last were taken
    while place < len(line):
        answer = answers[place]
        is_shown = bool(answer.text) and answer.probability >= threshold
        if is_shown and is_right(answer.text, line[place:]):
            n_saved += len(answer.text) - ACCEPT_KEYS
            n_taken += 1
            place += len(answer.text)
            continue
        whole = line[:place] + answer.text if is_shown else ""
        n_wrong += bool(whole) and whole != last_wrong
        last_wrong = whole
        place += 1
    return Keystrokes(n_chars=len(line), n_saved=n_saved, n_taken=n_taken, n_wrong=n_wrong)
