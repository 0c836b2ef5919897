"""The report of a replay as plain data: what the tables and the JSON are made of.

Holds figures and names only, no line of anybody's code.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from training.evaluation.replay import metrics
from training.evaluation.replay.metrics import Asked
from training.evaluation.replay.run import Measured, Plan
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


def assemble(
    measured: Measured,
    systems: Sequence[System],
    plan: Plan,
    *,
    model: str,
    content_hash: str,
) -> Report:
    """Return the report on a model; ValueError if nothing was measured."""
    if not measured.asked:
        raise ValueError("nothing was measured")
    names = [system.name for system in systems]
    asked, lines = measured.asked, measured.lines
    return {
        "format": FORMAT,
        "model": model,
        "content_hash": content_hash,
        "plan": dataclasses.asdict(plan),
        "is_complete": not measured.stopped,
        "stopped": measured.stopped,
        "repositories": list(_repositories(measured)),
        "systems": {system.name: _system(measured, system) for system in systems},
        "differences": [
            {"left": left, "right": right, "metric": metric, **value}
            for left, right in itertools.combinations(names, 2)
            for metric, value in metrics.compare(asked, lines, left, right).items()
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
    half = metrics.threshold_for(judged)
    found: Report = {
        "is_calibrated": system.is_calibrated,
        **_figures(asked, name),
        "lines": len(lines),
        "saved": metrics.share_saved(lines, name),
        "when_half_is_shown": None
        if half is None
        else {metric: metrics.mean(asked, name, metric, half) for metric in ("right", "exact")},
        "wrong_per_100_chars": metrics.wrong_per_100_chars(lines, name),
        "cold_ms": _latency([one.answer.ms for one in judged]),
        "cold_cpu_ms": _latency([one.answer.cpu_ms for one in judged]),
        "typing_ms": _latency([a.ms for line in lines for a in line.answers[name]]),
        "typing_cpu_ms": _latency([a.cpu_ms for line in lines for a in line.answers[name]]),
        "strata": {split: _strata(asked, system, label) for split, label in SPLITS.items()},
    }
    if system.is_calibrated:
        found["reliability"] = metrics.reliability(judged)
        found["calibration_error"] = metrics.calibration_error(found["reliability"])
        found["show"] = {
            level: _measure_shown(measured, system, level) for level in (EAGER, *STRICTER)
        }
    return found


def _figures(asked: Sequence[Asked], name: str) -> Report:
    means = {metric: metrics.mean(asked, name, metric) for metric in ("exact", "right", "offered")}
    return {"tasks": len(asked), **means, "precision": metrics.mean(asked, name, "right", 0.0)}


def _measure_shown(measured: Measured, system: System, level: str) -> Report:
    """Return what a setting of `show` would have done."""
    asked, name, least = measured.asked, system.name_at(level), system.least(level)
    right = [item for item in asked if item.judged[system.name].is_right]
    n_seen = sum(item.is_shown(name, least) and item.judged[name].is_right for item in right)
    return {
        "threshold": least,
        "shown": metrics.share_shown(asked, name, least),
        "precision": metrics.mean(asked, name, "right", least),
        "exact_precision": metrics.mean(asked, name, "exact", least),
        "right_but_hidden": (len(right) - n_seen) / len(right) if right else None,
        "saved": metrics.share_saved(measured.lines, name, least),
        "wrong_per_100_chars": metrics.wrong_per_100_chars(measured.lines, name, least),
    }


def _strata(asked: Sequence[Asked], system: System, label: Callable[[Stratum], str]) -> Report:
    """Return the figures of each kind of cursor: of all there is, and of what is shown.

    All cursors of a kind count the same: a repository may have a single one.
    """
    at, least = system.name_at(DEFAULT), system.least(DEFAULT)
    parts: dict[str, list[Asked]] = {}
    for item in asked:
        together = dataclasses.replace(item.stratum, repository="")
        alike = parts.setdefault(label(item.stratum), [])
        alike.append(dataclasses.replace(item, stratum=together))
    return {
        value: {"tasks": len(part)}
        if len(part) < MIN_STRATUM
        else _figures(part, system.name)
        | {
            "shown": metrics.share_shown(part, at, least),
            "shown_precision": metrics.mean(part, at, "right", least),
        }
        for value, part in sorted(parts.items())
    }


def _latency(times_ms: Sequence[float]) -> Report | None:
    if not times_ms:
        return None
    p50, p95 = np.percentile(times_ms, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}
