"""Whether a tuned model is better by the stated margins, in plain sentences.

Three conditions, all needed: the lines added later cost clearly fewer bits per byte (the sharpest
figure there is: every byte counts); the engine with the index, which is what people use, completes
more lines, and by its interval hardly fewer; general code is hardly worse. Knows figures only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.intervals import Interval, format_percent, format_points

BASE, TUNED = "base", "tuned"
MIN_COMMITS = 5  # fewer say nothing about other commits
MIN_TASKS = 100
MIN_GAIN_BITS = 0.01  # of the base's bits/byte on the lines added later
MAX_EXACT_LOSS = 0.02  # of exact lines, with the index: the interval's lower end
MAX_GENERAL_LOSS = 0.02  # of the base's bits/byte on general code


def system_name(model: str, *, has_index: bool) -> str:
    """Return what tables call one cell of the 2x2."""
    return f"{model} + index" if has_index else f"{model} alone"


def find_gain(report: Mapping[str, Any], metric: str, *, has_index: bool) -> dict[str, Any]:
    """Return tuned minus base, paired by cursor or line, with its range; {} if there is none."""
    names = [system_name(name, has_index=has_index) for name in (TUNED, BASE)]
    found = report["replay"]["differences"]
    wanted = [*names, metric]
    return next((e for e in found if [e["left"], e["right"], e["metric"]] == wanted), {})


def decide(report: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Return whether to promote by a judge's report: all that speaks for it, or against it."""
    later, general = report["bits"]["later"], report["bits"]["general"]
    gain, lines = later["gain"], find_gain(report, "exact", has_index=True)
    cells, [repository] = report["replay"]["systems"], report["replay"]["repositories"]
    before, after = (cells[system_name(each, has_index=True)]["exact"] for each in (BASE, TUNED))
    n_tasks = repository["tasks"]
    general_loss = general[TUNED] / general[BASE] - 1
    cost = f"lines added later cost {_change(-gain['mean'])} {_from_to(later)}; gain "
    cost += str(Interval(**gain))
    later_reason = f"{cost}); {format_percent(MIN_GAIN_BITS)} fewer are required"
    exact_reason = (
        f"with the index, exact lines go from {format_percent(before)} to"
        f" {format_percent(after)} ({format_points(lines)} points, {n_tasks} cursors);"
        f" more are required, and no lower end below {-100 * MAX_EXACT_LOSS:.1f} points"
    )
    general_reason = (
        f"general code costs {_change(general_loss)} {_from_to(general)});"
        f" {format_percent(MAX_GENERAL_LOSS)} more are allowed at most"
    )
    against = []
    if (n := min(repository["commits"], later["groups"])) < MIN_COMMITS:
        against.append(_few("commits", n, MIN_COMMITS))
    if n_tasks < MIN_TASKS:
        against.append(_few("cursors", n_tasks, MIN_TASKS))
    if gain["mean"] < MIN_GAIN_BITS:
        against.append(later_reason)
    elif gain["low"] <= 0:
        against.append(f"{cost}); its range reaches 0: this may be chance")
    if lines["mean"] <= 0 or lines["low"] < -MAX_EXACT_LOSS:
        against.append(exact_reason)
    if general_loss > MAX_GENERAL_LOSS:
        against.append(general_reason)
    return not against, against or [later_reason, exact_reason, general_reason]


def _few(what: str, n: int, least: int) -> str:
    return (
        f"{what} that could be judged: {n}, at least {least} are needed; tune again when there are"
        " more"
    )


def _change(share: float) -> str:
    return f"{format_percent(abs(share))} {'more' if share > 0 else 'fewer'} bits per byte"


def _from_to(figures: Mapping[str, Any]) -> str:
    return f"than with the base ({figures['base']:.3f} to {figures['tuned']:.3f}"
