"""The report of a replay as plain data: what the table, the page and the JSON are made of.

Holds figures and names only, no line of anybody's code.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training.evaluation.intervals import Interval
from training.evaluation.replay import metrics
from training.evaluation.replay.metrics import Asked, Line
from training.evaluation.replay.run import Measured, Plan
from training.evaluation.replay.systems import System
from training.evaluation.replay.tasks import Stratum

FORMAT = 1
SHOWN = ("eager", "balanced", "quiet")  # of the settings of `show`, those that show anything
MIN_STRATUM = 10  # cursors: a smaller stratum is named, but not measured
_LATENCY_EDGES_MS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

Report = dict[str, Any]


def assemble(
    measured: Measured,
    systems: Sequence[System],
    plan: Plan,
    *,
    model: str,
    content_hash: str,
    skipped: Sequence[str] = (),
) -> Report:
    """Return the report on a model; ValueError if nothing was measured.

    `skipped` names systems that could not take part, and says why.
    """
    if not measured.asked:
        raise ValueError("nothing was measured")
    names = [system.name for system in systems]
    return {
        "format": FORMAT,
        "model": model,
        "content_hash": content_hash,
        "skipped": list(skipped),
        "plan": dataclasses.asdict(plan),
        "is_complete": not measured.stopped,
        "stopped": measured.stopped,
        "repositories": _repositories(measured),
        "systems": {system.name: _system(measured, system) for system in systems},
        "differences": [
            found
            for left, right in itertools.combinations(names, 2)
            for found in _differences(measured, left, right)
        ],
    }


def _repositories(measured: Measured) -> list[Report]:
    names = dict.fromkeys(item.stratum.repository for item in measured.asked)
    return [
        {
            "name": name,
            "tasks": sum(item.stratum.repository == name for item in measured.asked),
            "lines": sum(line.stratum.repository == name for line in measured.lines),
            "commits": len(
                {item.stratum.commit for item in measured.asked if item.stratum.repository == name}
            ),
        }
        for name in names
    ]


def _system(measured: Measured, system: System) -> Report:
    asked, lines, name = measured.asked, measured.lines, system.name
    judged = [item.judged[name] for item in asked]
    half = metrics.threshold_for(judged)
    found: Report = {
        "is_calibrated": system.is_calibrated,
        **_figures(asked, lines, name),
        "when_half_is_shown": None
        if half is None
        else {
            metric: _plain(metrics.precision(asked, name, metric, lambda stratum: half))
            for metric in ("right", "exact")
        },
        "wrong_per_100_chars": metrics.wrong_per_100_chars(lines, name),
        "cold_ms": _latency([one.answer.ms for one in judged]),
        "cold_cpu_ms": _latency([one.answer.cpu_ms for one in judged]),
        "typing_ms": _latency([a.ms for line in lines for a in line.answers[name]]),
        "typing_cpu_ms": _latency([a.cpu_ms for line in lines for a in line.answers[name]]),
        "strata": {split: _strata(asked, lines, name, label) for split, label in SPLITS.items()},
        "curve": metrics.curve(judged),
    }
    if system.is_calibrated:
        found["reliability"] = metrics.reliability(judged)
        found["calibration_error"] = metrics.calibration_error(found["reliability"])
        found["show"] = {level: _shown_at(measured, system, level) for level in SHOWN}
    return found


def _figures(asked: Sequence[Asked], lines: Sequence[Line], name: str) -> Report:
    return {
        "tasks": len(asked),
        **{metric: _plain(metrics.mean(asked, name, metric)) for metric in metrics.METRICS},
        "precision": _plain(metrics.precision(asked, name, "right")),
        "lines": len(lines),
        "saved": _plain(metrics.saved(lines, name)),
    }


def _shown_at(measured: Measured, system: System, level: str) -> Report:
    """Return what a setting of `show` would have done."""
    asked, lines, name = measured.asked, measured.lines, system.name

    def least(stratum: Stratum) -> float:
        return system.least(level, stratum.language)

    shown = metrics.interval(
        (item.stratum, float(metrics.is_shown(item, name, least))) for item in asked
    )
    right = [item for item in asked if item.judged[name].is_right]
    hidden = [item for item in right if not metrics.is_shown(item, name, least)]
    languages = sorted({item.stratum.language for item in asked})
    return {
        "thresholds": {language: system.least(level, language) for language in languages},
        "shown": _plain(shown),
        "precision": _plain(metrics.precision(asked, name, "right", least)),
        "exact_precision": _plain(metrics.precision(asked, name, "exact", least)),
        "right_but_hidden": len(hidden) / len(right) if right else None,
        "saved": _plain(metrics.saved(lines, name, least)),
        "wrong_per_100_chars": metrics.wrong_per_100_chars(lines, name, least),
    }


def _kind(stratum: Stratum) -> str:
    return stratum.kind


SPLITS: dict[str, Callable[[Stratum], str]] = {
    "line": lambda stratum: "seen elsewhere" if stratum.is_seen else "new",
    "cursor": _kind,  # a line that is typed has cursors of all kinds
    "language": lambda stratum: stratum.language,
    "file": lambda stratum: "near duplicate" if stratum.is_near_duplicate else "unlike others",
    "repository": lambda stratum: stratum.repository,
}


def _strata(
    asked: Sequence[Asked], lines: Sequence[Line], name: str, label: Callable[[Stratum], str]
) -> Report:
    found: Report = {}
    for value in sorted({label(item.stratum) for item in asked}):
        part = [item for item in asked if label(item.stratum) == value]
        typed = [line for line in lines if label(line.stratum) == value and label is not _kind]
        is_enough = len(part) >= MIN_STRATUM
        found[value] = _figures(part, typed, name) if is_enough else {"tasks": len(part)}
    return found


def _differences(measured: Measured, left: str, right: str) -> list[Report]:
    found = {
        metric: metrics.difference(measured.asked, left, right, metric)
        for metric in ("exact", "right", "similarity")
    }
    found["saved"] = metrics.saved_difference(measured.lines, left, right)
    return [
        {"left": left, "right": right, "metric": metric, **dataclasses.asdict(value)}
        for metric, value in found.items()
        if value is not None
    ]


def _latency(times_ms: Sequence[float]) -> Report | None:
    if not times_ms:
        return None
    p50, p95 = np.percentile(times_ms, [50, 95])
    counts, _ = np.histogram(times_ms, bins=[*_LATENCY_EDGES_MS, np.inf])
    return {
        "p50": float(p50),
        "p95": float(p95),
        "edges": list(_LATENCY_EDGES_MS),
        "counts": counts.tolist(),  # the last one is of all that is slower
    }


def _plain(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else dataclasses.asdict(interval)
