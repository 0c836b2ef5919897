"""Operating points: from which probability on a suggestion is shown, and what that gives.

Measured on choices that neither ranker nor gate was fitted on. Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assistant.rank.ranker import OperatingPoint
from training.calibration.networks import RankedChoice

#: level -> least precision; where no threshold reaches it, the strictest one that shows anything
TARGETS = {"quiet": 0.8}
#: "balanced" hides at most this share of what is right. Most of that comes a key or two later: who
#: types saves 2 to 4% less than with 0.075, and sees 30% fewer texts break off (experiments.md)
MAX_HIDDEN = 0.12
EAGER_THRESHOLD = 0.1
_MARGIN = 0.02  # more than the target is asked for: elsewhere it will be a little less
_MIN_SHOWN = 20  # a precision of fewer is chance
_RELIABILITY_BINS = 10


def choose_points(choices: Sequence[RankedChoice]) -> dict[str, OperatingPoint]:
    """Return each level's point: the largest coverage that keeps its precision.

    For "balanced", the smallest that hides few right answers.
    """
    shown = sorted((c for c in choices if c.has_text), key=lambda c: -c.probability)
    right = np.cumsum([c.is_right for c in shown])
    balanced = _least_hiding(shown, right)
    points = {
        "eager": measure_point(choices, EAGER_THRESHOLD),
        "balanced": measure_point(choices, max(balanced, EAGER_THRESHOLD)),
    }
    precision = right / np.arange(1, len(shown) + 1)
    for level, target in TARGETS.items():
        good = np.flatnonzero(precision >= target + _MARGIN)
        good = good[good >= min(_MIN_SHOWN, len(shown)) - 1]
        last = int(good[-1]) if len(good) else 0
        threshold = shown[last].probability if shown else 1.0
        points[level] = measure_point(choices, max(threshold, points["balanced"].threshold))
    return points


def _least_hiding(shown: Sequence[RankedChoice], right: NDArray[np.int64]) -> float:
    """Return the highest threshold that hides at most MAX_HIDDEN of the right answers."""
    if not shown or not right[-1]:
        return EAGER_THRESHOLD
    enough = np.flatnonzero(right >= (1 - MAX_HIDDEN) * right[-1])
    return shown[int(enough[0])].probability


def measure_point(choices: Sequence[RankedChoice], threshold: float) -> OperatingPoint:
    """Measure one threshold."""
    shown = [c for c in choices if c.has_text and c.probability >= threshold]
    n_right = sum(c.is_right for c in choices)
    n_shown_right = sum(c.is_right for c in shown)
    return OperatingPoint(
        threshold=round(min(max(threshold, 0.0), 1.0), 4),
        precision=round(n_shown_right / max(1, len(shown)), 4),
        coverage=round(len(shown) / max(1, len(choices)), 4),
        hidden=round(1 - n_shown_right / max(1, n_right), 4),
    )


def calibration_error(choices: Sequence[RankedChoice]) -> float:
    """Return the mean distance of probability and share right over ten bands, by their size."""
    shown = [c for c in choices if c.has_text]
    bands = np.array([int(c.probability * _RELIABILITY_BINS) for c in shown], np.int64)
    off = np.bincount(bands, weights=[c.probability - c.is_right for c in shown])
    return float(np.abs(off).sum()) / max(1, len(shown))
