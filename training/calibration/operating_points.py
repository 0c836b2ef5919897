"""Operating points: from which probability on a suggestion is shown, and what that gives.

Measured on choices that neither ranker nor gate was fitted on. Knows numbers only.
"""

from collections.abc import Sequence

import numpy as np

from assistant.rank.ranker import OperatingPoint
from training.calibration.networks import RankedChoice

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
