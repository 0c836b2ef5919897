"""Whether a tuned model is better by the stated margins, in plain sentences.

Three conditions, all needed: the lines added later cost clearly fewer bits per byte (the sharpest
figure there is: every byte counts); the engine with the index, which is what people use, completes
no fewer lines, and by its interval not many fewer; general code is hardly worse. Knows figures
only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from training.evaluation.intervals import Interval

MIN_COMMITS = 5  # fewer say nothing about other commits
MIN_TASKS = 100
MIN_GAIN_BITS = 0.01  # of the base's bits/byte on the lines added later
MAX_EXACT_LOSS = 0.02  # of exact lines, with the index: the interval's lower end
MAX_GENERAL_LOSS = 0.02  # of the base's bits/byte on general code
LIMITS = {  # as a report states them
    "min_gain_bits": MIN_GAIN_BITS,
    "max_exact_loss": MAX_EXACT_LOSS,
    "max_general_loss": MAX_GENERAL_LOSS,
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DecisionFigures:
    """What the decision is made of."""

    later_base: float  # bits/byte of the lines added later
    later_tuned: float
    later_gain: Interval  # share of the base's bits
    later_commits: int
    general_base: float
    general_tuned: float
    exact_base: float  # share of lines, with the index
    exact_tuned: float
    exact_gain: Interval  # difference of the two, paired
    tasks: int
    commits: int  # that the tasks are of

    @property
    def general_loss(self) -> float:
        """The share by which general code costs more than before."""
        return self.general_tuned / self.general_base - 1


def decide(figures: DecisionFigures) -> tuple[bool, list[str]]:
    """Return whether to promote, and why: all that speaks for it, or all that speaks against."""
    gained, exact, general_loss = figures.later_gain, figures.exact_gain, figures.general_loss
    later = (
        f"lines added later cost {_change(-gained.mean)} bits per byte than with the base"
        f" ({figures.later_base:.3f} to {figures.later_tuned:.3f}; gain {gained})"
    )
    later_reason = f"{later}; {_percent(MIN_GAIN_BITS)} fewer are required"
    exact_reason = (
        f"with the index, exact lines go from {_percent(figures.exact_base)} to"
        f" {_percent(figures.exact_tuned)} ({100 * exact.mean:+.1f} points"
        f" [{100 * exact.low:+.1f}, {100 * exact.high:+.1f}], {_count(figures.tasks, 'cursor')});"
        f" no loss is allowed, and no lower end below {-100 * MAX_EXACT_LOSS:.1f} points"
    )
    general_reason = (
        f"general code costs {_change(general_loss)} bits per byte than with the base"
        f" ({figures.general_base:.3f} to {figures.general_tuned:.3f});"
        f" {_percent(MAX_GENERAL_LOSS)} more are allowed at most"
    )
    against = list(_find_too_few(figures))
    if gained.mean < MIN_GAIN_BITS:
        against.append(later_reason)
    elif gained.low <= 0:
        against.append(f"{later}; its range reaches 0: this may be chance")
    if exact.mean < 0 or exact.low < -MAX_EXACT_LOSS:
        against.append(exact_reason)
    if general_loss > MAX_GENERAL_LOSS:
        against.append(general_reason)
    return not against, against or [later_reason, exact_reason, general_reason]


def _find_too_few(figures: DecisionFigures) -> Iterator[str]:
    commits = min(figures.commits, figures.later_commits)
    if commits < MIN_COMMITS:
        yield (
            f"only {_count(commits, 'commit')} could be judged, {MIN_COMMITS} at least are needed:"
            " tune again when there are more"
        )
    if figures.tasks < MIN_TASKS:
        yield (
            f"only {_count(figures.tasks, 'cursor')} could be judged, {MIN_TASKS} at least are"
            " needed: tune again when more code was added"
        )


def _change(share: float) -> str:
    return f"{_percent(abs(share))} {'more' if share > 0 else 'fewer'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
