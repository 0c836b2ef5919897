"""What `foretype train fit` says: figures of choices, as a table and as JSON.

Operating points: from which probability on a suggestion is shown, and what that gives, measured on
choices that neither ranker nor gate was fitted on: repositories left out one at a time. And other
repositories that nothing was fitted on, where the parts and the longest match answer the same
cursors and are compared pair by pair. Knows choices, and nothing of how they were made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from assistant.rank.ranker import FittedRanker, OperatingPoint
from training.calibration.collect import RankingExample
from training.calibration.networks import RankedChoice
from training.evaluation.intervals import Interval, macro_mean
from training.evaluation.replay.systems import INDEX, LONGEST_MATCH, NETWORK, NETWORK_AND_INDEX

#: level -> least precision; where no threshold reaches it, the strictest one that shows anything
TARGETS = {"quiet": 0.8}
#: "balanced" hides at most this share of what is right: at 0.12 a tenth less is shown, at 0.03
#: nearly a third of what is shown is wrong (experiments.md)
MAX_HIDDEN = 0.065
EAGER_THRESHOLD = 0.1
_MARGIN = 0.02  # more than the target is asked for: elsewhere it will be a little less
_MIN_SHOWN = 20  # a precision of fewer is chance
_RELIABILITY_BINS = 10
_TRIED = tuple(number / 100 for number in range(10, 100))


def choose_points(choices: Sequence[RankedChoice]) -> dict[str, OperatingPoint]:
    """Return each level's point: the lowest threshold that keeps its precision.

    For "balanced", the highest that hides few right answers.
    """
    counts = {threshold: _count(choices, threshold) for threshold in _TRIED}
    most = max(n_right for _, n_right in counts.values())
    enough = [t for t, (_, n_right) in counts.items() if n_right >= (1 - MAX_HIDDEN) * most]
    balanced = max(enough) if most else EAGER_THRESHOLD
    chosen = {"eager": EAGER_THRESHOLD, "balanced": balanced}
    for level, target in TARGETS.items():
        shown = [t for t, (n_shown, _) in counts.items() if n_shown and t >= balanced]
        good = [
            t
            for t in shown
            if counts[t][0] >= _MIN_SHOWN and counts[t][1] >= (target + _MARGIN) * counts[t][0]
        ]
        chosen[level] = min(good) if good else max(shown, default=1.0)
    return {level: measure_point(choices, threshold) for level, threshold in chosen.items()}


def _count(choices: Sequence[RankedChoice], threshold: float) -> tuple[int, int]:
    """Return how many would be shown, and how many of them are right."""
    shown = [its for each in choices if (its := each.shown_from(threshold)).has_text]
    return len(shown), sum(its.is_right for its in shown)


def measure_point(choices: Sequence[RankedChoice], threshold: float) -> OperatingPoint:
    """Measure one threshold; hidden is what is right from `EAGER_THRESHOLD` on."""
    n_shown, n_right = _count(choices, threshold)
    most = max(n_right, _count(choices, EAGER_THRESHOLD)[1])
    return OperatingPoint(
        threshold=round(min(max(threshold, 0.0), 1.0), 4),
        precision=round(n_right / max(1, n_shown), 4),
        coverage=round(n_shown / max(1, len(choices)), 4),
        hidden=round(1 - n_right / max(1, most), 4),
    )


def calibration_error(choices: Sequence[RankedChoice]) -> float:
    """Return the mean distance of probability and share right over ten bands, by their size."""
    shown = [c for c in choices if c.has_text]
    bands = np.array([int(c.probability * _RELIABILITY_BINS) for c in shown], np.int64)
    off = np.bincount(bands, weights=[c.probability - c.is_right for c in shown])
    return float(np.abs(off).sum()) / max(1, len(shown))


def typed(choices: Sequence[RankedChoice]) -> Sequence[RankedChoice]:
    """Return those at lines that were typed, by which thresholds go; all where there are none."""
    return [c for c in choices if c.example.kind == "history"] or choices


def figures_of(
    choices: Sequence[RankedChoice], points: Mapping[str, OperatingPoint]
) -> dict[str, Any]:
    """Return what the levels' thresholds give, and how right and how calibrated choices are."""
    return {
        "tasks": len(choices),
        "exact": float(np.mean([c.is_exact for c in choices])),
        "calibration_error": calibration_error(choices),
        "levels": {
            name: dataclasses.asdict(measure_point(typed(choices), its.threshold))
            for name, its in points.items()
        },
    }


def _exact(examples: Sequence[RankingExample], values: Sequence[float]) -> Interval:
    """Return the mean over repositories; whole files or commits are drawn again."""
    pairs = zip(examples, values, strict=True)
    return macro_mean((example.repository, example.group, value) for example, value in pairs)


def compare_systems(
    engine: Sequence[RankedChoice], index: Sequence[RankedChoice], fitted: FittedRanker
) -> dict[str, dict[str, Any]]:
    """Return, for each kind, who is right how often at the same cursors, and what levels show.

    `engine` (network and index) and `index` (alone) are choices at the same cursors in the same
    order; the longest match's line and the network's own stand in their examples.
    """
    return {
        kind: _compare(
            [c for c in engine if c.example.kind == kind],
            [c for c in index if c.example.kind == kind],
            fitted,
        )
        for kind in sorted({c.example.kind for c in engine})
    }


def _compare(
    engine: Sequence[RankedChoice], index: Sequence[RankedChoice], fitted: FittedRanker
) -> dict[str, Any]:
    examples = [c.example for c in engine]
    right = {
        NETWORK_AND_INDEX: [c.is_exact for c in engine],
        INDEX: [c.is_exact for c in index],
        NETWORK: [example.greedy == example.truth for example in examples],
        LONGEST_MATCH: [c.example.longest_match == c.example.truth for c in index],
    }
    exact = {
        name: _exact(examples, [float(is_right) for is_right in its]) for name, its in right.items()
    }
    for baseline in (LONGEST_MATCH, INDEX):
        pairs = zip(right[NETWORK_AND_INDEX], right[baseline], strict=True)
        exact[f"{NETWORK_AND_INDEX} against {baseline}"] = _exact(
            examples, [float(a) - float(b) for a, b in pairs]
        )
    table = {name: dataclasses.asdict(its) for name, its in exact.items()}
    return figures_of(engine, fitted.points) | {"exact": table}


def format_report(report: Mapping[str, Any]) -> str:
    """Return all of it for people."""
    lines = []
    for name, figures in report["fitted"].items():
        lines.append(f"{name}: shown from, precision, coverage, right answers hidden")
        lines += [_level(level, its) for level, its in figures["levels"].items()]
        exact, off = 100 * figures["exact"], 100 * figures["calibration_error"]
        lines.append(f"  {figures['tasks']} tasks, exact {exact:.1f}%, off by {off:.1f} points")
    for kind, its in report["reported"].items():
        lines += _comparison_lines(kind, its)
    return "\n".join(lines) + "\n"


def _level(name: str, its: Mapping[str, float]) -> str:
    shares = "".join(f"{100 * its[k]:>7.1f}%" for k in ("precision", "coverage", "hidden"))
    return f"  {name:<10}{its['threshold']:>7.3f}{shares}"


def _comparison_lines(kind: str, its: Mapping[str, Any]) -> Iterator[str]:
    yield f"reported, {kind}: {its['tasks']} tasks, exact [95%]"
    for name, exact in its["exact"].items():
        yield f"  {name:<38}{Interval(**exact)!s:>22}"
    yield f"  off by, on average: {100 * its['calibration_error']:.1f} points"
    for level, figures in its["levels"].items():
        yield _level(level, figures)
