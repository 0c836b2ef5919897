"""Whether a tuned model is better by the stated margins, in plain sentences.

Three conditions, all needed: the lines added later cost clearly fewer bits per byte (the sharpest
figure there is: every byte counts); the engine with the index, which is what people use, completes
no fewer lines, and by its interval not many fewer; general code is hardly worse. Knows figures
only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from training.evaluation.intervals import Interval

MIN_COMMITS = 5  # fewer say nothing about other commits
MIN_TASKS = 100


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Margins:
    """How much better a tuned model must be, and how much worse it may be elsewhere."""

    min_gain_bits: float = 0.01  # of the base's bits/byte on the lines added later
    max_exact_loss: float = 0.02  # of exact lines, with the index: the interval's lower end
    max_general_loss: float = 0.02  # of the base's bits/byte on general code

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and 0 <= value < 1):
                raise ValueError(f"{field.name} must be a share in 0..1, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """Whether a tuned model takes its base's place in its repository, and why."""

    promoted: bool
    reasons: tuple[str, ...]  # plain sentences; of a refusal, every one that was missed
    scores: dict[str, float]  # exact_base_off, ..., bits_base, bits_tuned, general_base, ...
    report: dict[str, Any]  # JSON: every figure with its interval, and no line of code


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


def decide(figures: DecisionFigures, margins: Margins) -> tuple[bool, tuple[str, ...]]:
    """Return whether to promote, and why: all that speaks for it, or all that speaks against."""
    later = f"{_describe_later(figures)}; {_percent(margins.min_gain_bits)} fewer are required"
    exact = (
        f"{_describe_exact(figures)}; no loss is allowed, and no lower end below"
        f" {-100 * margins.max_exact_loss:.1f} points"
    )
    general = (
        f"{_describe_general(figures)}; {_percent(margins.max_general_loss)} more are allowed"
        " at most"
    )
    against = list(_find_too_few(figures))
    if figures.later_gain.mean < margins.min_gain_bits:
        against.append(later)
    elif figures.later_gain.low <= 0:
        against.append(f"{_describe_later(figures)}; its range reaches 0: this may be chance")
    if figures.exact_gain.mean < 0 or figures.exact_gain.low < -margins.max_exact_loss:
        against.append(exact)
    if figures.general_loss > margins.max_general_loss:
        against.append(general)
    return not against, tuple(against or (later, exact, general))


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


def _describe_later(figures: DecisionFigures) -> str:
    gain = figures.later_gain
    return (
        f"lines added later cost {_change(-gain.mean)} bits per byte than with the base"
        f" ({figures.later_base:.3f} to {figures.later_tuned:.3f};"
        f" gain {100 * gain.mean:.1f}% [{100 * gain.low:.1f}, {100 * gain.high:.1f}])"
    )


def _describe_exact(figures: DecisionFigures) -> str:
    gain = figures.exact_gain
    return (
        f"with the index, exact lines go from {_percent(figures.exact_base)} to"
        f" {_percent(figures.exact_tuned)} ({100 * gain.mean:+.1f} points"
        f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], {_count(figures.tasks, 'cursor')})"
    )


def _describe_general(figures: DecisionFigures) -> str:
    return (
        f"general code costs {_change(figures.general_loss)} bits per byte than with the base"
        f" ({figures.general_base:.3f} to {figures.general_tuned:.3f})"
    )


def _change(share: float) -> str:
    return f"{_percent(abs(share))} {'more' if share > 0 else 'fewer'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
