"""Whether a tuned model is better by the stated margins, in plain sentences.

Three conditions, all needed: the lines added later cost clearly fewer bits per byte (the sharpest
figure there is: every byte counts); the engine with the index, which is what people use, completes
no fewer lines, and by its interval not many fewer; general code is hardly worse. Knows figures
only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.evaluation.intervals import Interval

#: base and tuned as {"mean"}, and gain as {"mean", "low", "high"}
Figure = Mapping[str, Any]

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


def decide(
    later: Figure, exact: Figure, general: Figure, *, n_tasks: int, n_commits: int
) -> tuple[bool, list[str]]:
    """Return whether to promote, and why: all that speaks for it, or against it.

    `later` and `general` are bits per byte, with the share gained and, of `later`, how many commits
    (`groups`); `exact` is the share of lines, with the index, at `n_tasks` cursors of `n_commits`.
    """
    gained, lines = Interval(**later["gain"]), Interval(**exact["gain"])
    general_loss = general["tuned"]["mean"] / general["base"]["mean"] - 1
    cost = (
        f"lines added later cost {_change(-gained.mean)} bits per byte than with the base"
        f" ({later['base']['mean']:.3f} to {later['tuned']['mean']:.3f}; gain {gained})"
    )
    later_reason = f"{cost}; {_percent(MIN_GAIN_BITS)} fewer are required"
    exact_reason = (
        f"with the index, exact lines go from {_percent(exact['base']['mean'])} to"
        f" {_percent(exact['tuned']['mean'])} ({100 * lines.mean:+.1f} points"
        f" [{100 * lines.low:+.1f}, {100 * lines.high:+.1f}], {_count(n_tasks, 'cursor')});"
        f" no loss is allowed, and no lower end below {-100 * MAX_EXACT_LOSS:.1f} points"
    )
    general_reason = (
        f"general code costs {_change(general_loss)} bits per byte than with the base"
        f" ({general['base']['mean']:.3f} to {general['tuned']['mean']:.3f});"
        f" {_percent(MAX_GENERAL_LOSS)} more are allowed at most"
    )
    against = list(_find_too_few(n_tasks, min(n_commits, later["groups"])))
    if gained.mean < MIN_GAIN_BITS:
        against.append(later_reason)
    elif gained.low <= 0:
        against.append(f"{cost}; its range reaches 0: this may be chance")
    if lines.mean < 0 or lines.low < -MAX_EXACT_LOSS:
        against.append(exact_reason)
    if general_loss > MAX_GENERAL_LOSS:
        against.append(general_reason)
    return not against, against or [later_reason, exact_reason, general_reason]


def _find_too_few(n_tasks: int, n_commits: int) -> Iterator[str]:
    if n_commits < MIN_COMMITS:
        yield (
            f"only {_count(n_commits, 'commit')} could be judged, {MIN_COMMITS} at least are"
            " needed: tune again when there are more"
        )
    if n_tasks < MIN_TASKS:
        yield (
            f"only {_count(n_tasks, 'cursor')} could be judged, {MIN_TASKS} at least are"
            " needed: tune again when more code was added"
        )


def _change(share: float) -> str:
    return f"{_percent(abs(share))} {'more' if share > 0 else 'fewer'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
