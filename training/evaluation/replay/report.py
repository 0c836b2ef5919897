"""The report of a replay as plain data: what the tables and the JSON are made of.

Every mean is of repositories' means, so a repository with more tasks counts no more. Intervals are
bootstrapped by commit: cursors of one commit stand and fall together. A difference of two systems
is measured cursor by cursor, which is far sharper than two intervals side by side.
Holds figures and names only, no line of anybody's code.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from training.evaluation.answers import Judged
from training.evaluation.intervals import Figure, calibration_error, macro_mean, reliability
from training.evaluation.replay.run import Asked, Line, Measured, Plan
from training.evaluation.replay.systems import EAGER, STRICTER, System
from training.evaluation.replay.tasks import Stratum

FORMAT = 4
DEFAULT = "balanced"  # of the settings of `show`
MIN_STRATUM = 10  # cursors: a smaller stratum is named, but not measured
SPLITS: dict[str, Callable[[Stratum], str]] = {
    "line": lambda stratum: "seen elsewhere" if stratum.is_seen else "new",
    "cursor": lambda stratum: stratum.kind,
    "language": lambda stratum: stratum.language,
    "repository": lambda stratum: stratum.repository,
}

Report = dict[str, Any]


def interval(values: Iterable[tuple[Stratum, float]]) -> Figure | None:
    """Return the mean over repositories and its range; None of no values."""
    rows = [(stratum.repository, stratum.commit, value) for stratum, value in values]
    return macro_mean(rows) if rows else None


def mean(
    asked: Sequence[Asked], system: str, metric: str, least: float | None = None
) -> Figure | None:
    """Return a metric's mean over all cursors, or those at which something so sure is shown."""
    items = asked if least is None else [it for it in asked if it.is_shown(system, least)]
    return interval((item.stratum, item.value(system, metric)) for item in items)


def share_shown(asked: Sequence[Asked], system: str, least: float) -> Figure | None:
    """Return the share of cursors at which something is shown."""
    return interval((item.stratum, float(item.is_shown(system, least))) for item in asked)


def share_saved(lines: Sequence[Line], system: str, least: float = 0.0) -> Figure | None:
    """Return the share of characters saved. Lines come by their length, so each counts the same."""
    return interval((line.stratum, line.type_with(system, least).saved) for line in lines)


def compare(
    asked: Sequence[Asked], lines: Sequence[Line], left: str, right: str
) -> dict[str, Figure]:
    """Return how much better left is than right: cursor by cursor, and line by line."""
    found = {
        metric: interval(
            (item.stratum, item.value(left, metric) - item.value(right, metric)) for item in asked
        )
        for metric in ("exact", "right")
    }
    found["saved"] = interval(
        (line.stratum, line.type_with(left).saved - line.type_with(right).saved) for line in lines
    )
    return {metric: value for metric, value in found.items() if value is not None}


def wrong_per_100_chars(lines: Sequence[Line], system: str, least: float = 0.0) -> float | None:
    """Return how often a suggestion appears that cannot be taken, all lines together."""
    typed = [line.type_with(system, least) for line in lines]
    n_chars = sum(one.n_chars for one in typed)
    return 100 * sum(one.n_wrong for one in typed) / n_chars if typed else None


def threshold_for(judged: Sequence[Judged], share: float = 0.5) -> float | None:
    """Return the threshold that shows this share of the cursors; None if so much is not offered."""
    offered = sorted((one.answer.probability for one in judged if one.is_offered), reverse=True)
    n = max(1, round(share * len(judged)))
    return offered[n - 1] if len(offered) >= n else None


def assemble(
    measured: Measured, systems: Sequence[System], plan: Plan, *, model: str, content_hash: str
) -> Report:
    """Return the report on a model; something was measured."""
    names = [system.name for system in systems]
    asked, lines = measured.asked, measured.lines
    return {
        "format": FORMAT,
        "model": model,
        "content_hash": content_hash,
        "plan": plan._asdict(),
        "is_complete": not measured.stopped,
        "stopped": measured.stopped,
        "repositories": list(_repositories(measured)),
        "systems": {system.name: _system(measured, system) for system in systems},
        "differences": [
            {"left": left, "right": right, "metric": metric, **value}
            for left, right in itertools.combinations(names, 2)
            for metric, value in compare(asked, lines, left, right).items()
        ],
    }


def _repositories(measured: Measured) -> Iterator[Report]:
    for name in dict.fromkeys(item.stratum.repository for item in measured.asked):
        asked, lines = (
            [item.stratum.commit for item in items if item.stratum.repository == name]
            for items in (measured.asked, measured.lines)
        )
        yield {
            "name": name, "tasks": len(asked), "lines": len(lines), "commits": len(set(asked))
        }  # fmt: skip


def _system(measured: Measured, system: System) -> Report:
    asked, lines, name = measured.asked, measured.lines, system.name
    judged = [item.judged[name] for item in asked]
    half = threshold_for(judged)
    found: Report = {
        "is_calibrated": system.is_calibrated,
        **_figures(asked, name),
        "lines": len(lines),
        "saved": share_saved(lines, name),
        "when_half_is_shown": None
        if half is None
        else {metric: mean(asked, name, metric, half) for metric in ("right", "exact")},
        "wrong_per_100_chars": wrong_per_100_chars(lines, name),
        "cold_ms": _latency([one.answer.ms for one in judged]),
        "cold_cpu_ms": _latency([one.answer.cpu_ms for one in judged]),
        "typing_ms": _latency([a.ms for line in lines for a in line.answers[name]]),
        "typing_cpu_ms": _latency([a.cpu_ms for line in lines for a in line.answers[name]]),
        "strata": {split: _strata(asked, system, label) for split, label in SPLITS.items()},
    }
    if system.is_calibrated:
        found["reliability"] = reliability(
            (one.answer.probability, one.is_right) for one in judged if one.is_offered
        )
        found["calibration_error"] = calibration_error(found["reliability"])
        found["show"] = {
            level: _measure_shown(measured, system, level) for level in (EAGER, *STRICTER)
        }
    return found


def _figures(asked: Sequence[Asked], name: str) -> Report:
    means = {metric: mean(asked, name, metric) for metric in ("exact", "right", "offered")}
    return {"tasks": len(asked), **means, "precision": mean(asked, name, "right", 0.0)}


def _measure_shown(measured: Measured, system: System, level: str) -> Report:
    """Return what a setting of `show` would have done."""
    asked, name, least = measured.asked, system.name_at(level), system.least(level)
    right = [item for item in asked if item.judged[system.name].is_right]
    n_seen = sum(item.is_shown(name, least) and item.judged[name].is_right for item in right)
    return {
        "threshold": least,
        "shown": share_shown(asked, name, least),
        "precision": mean(asked, name, "right", least),
        "exact_precision": mean(asked, name, "exact", least),
        "right_but_hidden": (len(right) - n_seen) / len(right) if right else None,
        "saved": share_saved(measured.lines, name, least),
        "wrong_per_100_chars": wrong_per_100_chars(measured.lines, name, least),
    }


def _strata(asked: Sequence[Asked], system: System, label: Callable[[Stratum], str]) -> Report:
    """Return the figures of each kind of cursor: of all there is, and of what is shown.

    All cursors of a kind count the same: a repository may have a single one.
    """
    at, least = system.name_at(DEFAULT), system.least(DEFAULT)
    parts: dict[str, list[Asked]] = {}
    for item in asked:
        together = item.stratum._replace(repository="")
        alike = parts.setdefault(label(item.stratum), [])
        alike.append(item._replace(stratum=together))
    return {
        value: {"tasks": len(part)}
        if len(part) < MIN_STRATUM
        else _figures(part, system.name)
        | {"shown": share_shown(part, at, least), "shown_precision": mean(part, at, "right", least)}
        for value, part in sorted(parts.items())
    }


def _latency(times_ms: Sequence[float]) -> Report | None:
    if not times_ms:
        return None
    p50, p95 = np.percentile(times_ms, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}
