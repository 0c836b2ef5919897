"""Whether a tuned model is better by the stated margins, in plain sentences.

Three conditions, all needed: the lines added later cost clearly fewer bits a byte (the sharpest
figure there is: every byte counts); the engine with memory, which is what people use, completes no
fewer lines, and by its interval not many fewer; general code is hardly worse. Knows figures only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from training.evaluation.intervals import Interval
from training.finetune.judging.verdict import Limits

MIN_COMMITS = 5  # fewer say nothing about other commits
MIN_TASKS = 100


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the decision is made of."""

    later_base: float  # bits/byte of the lines added later
    later_tuned: float
    later_gain: Interval  # share of the base's bits
    later_commits: int
    general_base: float
    general_tuned: float
    exact_base: float  # share of lines, memory on
    exact_tuned: float
    exact_gain: Interval  # difference of the two, paired
    tasks: int
    commits: int  # that the tasks are of


def decide(figures: Figures, limits: Limits) -> tuple[bool, tuple[str, ...]]:
    """Return whether to promote, and why: all that speaks for it, or all that speaks against."""
    against = tuple(_against(figures, limits))
    return not against, against or _for(figures, limits)


def general_loss(figures: Figures) -> float:
    """Return by which share general code costs more than before."""
    return figures.general_tuned / figures.general_base - 1


def _against(figures: Figures, limits: Limits) -> Iterator[str]:
    commits = min(figures.commits, figures.later_commits)
    if commits < MIN_COMMITS:
        yield (
            f"only {_many(commits, 'commit')} could be judged, {MIN_COMMITS} at least are needed:"
            " tune again when there are more"
        )
    if figures.tasks < MIN_TASKS:
        yield (
            f"only {_many(figures.tasks, 'cursor')} could be judged, {MIN_TASKS} at least are"
            " needed: tune again when more code was added"
        )
    later = figures.later_gain
    if later.mean < limits.min_gain_bits:
        yield _later_asked(figures, limits)
    elif later.low <= 0:
        yield f"{_later(figures)}; the range must lie above 0: this may be chance"
    if figures.exact_gain.mean < 0 or figures.exact_gain.low < -limits.max_exact_loss:
        yield _exact_asked(figures, limits)
    if general_loss(figures) > limits.max_general_loss:
        yield _general_asked(figures, limits)


def _for(figures: Figures, limits: Limits) -> tuple[str, ...]:
    return (
        _later_asked(figures, limits),
        _exact_asked(figures, limits),
        _general_asked(figures, limits),
    )


def _later_asked(figures: Figures, limits: Limits) -> str:
    return f"{_later(figures)}; {_percent(limits.min_gain_bits)} fewer are asked for"


def _exact_asked(figures: Figures, limits: Limits) -> str:
    least = -100 * limits.max_exact_loss
    return f"{_exact(figures)}; no loss is allowed, and no lower end below {least:.1f} points"


def _general_asked(figures: Figures, limits: Limits) -> str:
    return f"{_general(figures)}; {_percent(limits.max_general_loss)} more are allowed at most"


def _later(figures: Figures) -> str:
    gain = figures.later_gain
    return (
        f"lines added later cost {_change(-gain.mean)} bits a byte than with the base"
        f" ({figures.later_base:.3f} to {figures.later_tuned:.3f};"
        f" gain {100 * gain.mean:.1f}% [{100 * gain.low:.1f}, {100 * gain.high:.1f}])"
    )


def _exact(figures: Figures) -> str:
    gain = figures.exact_gain
    return (
        f"with memory, exact lines go from {_percent(figures.exact_base)} to"
        f" {_percent(figures.exact_tuned)} ({100 * gain.mean:+.1f} points"
        f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], {_many(figures.tasks, 'cursor')})"
    )


def _general(figures: Figures) -> str:
    return (
        f"general code costs {_change(general_loss(figures))} bits a byte than with the base"
        f" ({figures.general_base:.3f} to {figures.general_tuned:.3f})"
    )


def _change(share: float) -> str:
    return f"{_percent(abs(share))} {'more' if share > 0 else 'fewer'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
