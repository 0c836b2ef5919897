"""Intervals of ratios and of their differences, by resampling whole clusters such as commits.

Cursors and bytes of one commit are not independent, so commits are drawn, not cursors. All
columns of a cluster are drawn together: a difference of two systems is paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.evaluation.intervals import N_RESAMPLE, Interval

Floats = NDArray[np.float64]
#: sums of the columns, (..., K) -> figure (...)
Statistic = Callable[[Floats], Floats]


def resample(
    clusters: Sequence[str], rows: ArrayLike, statistic: Statistic, *, seed: int = 0
) -> Interval:
    """Return a figure of the sums of `rows` (N, K) and its 95% range; row i is of `clusters[i]`."""
    if not clusters:
        raise ValueError("resample() of nothing: at least one row is needed")
    names = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    values = np.array(rows, np.float64)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, [names[name] for name in clusters], values)
    draws = np.random.Generator(np.random.Philox(key=[seed, 0]))
    # How often each cluster is drawn, when as many are drawn as there are.
    counts = draws.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=N_RESAMPLE)
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = statistic(counts @ sums)
    low, high = np.nanpercentile(figures, [2.5, 97.5])  # a draw may hold nothing to divide by
    return Interval(float(statistic(sums.sum(0))), float(low), float(high))


def ratio(sums: Floats) -> Floats:
    """Return the first column by the second."""
    found: Floats = sums[..., 0] / sums[..., 1]
    return found


def gain(sums: Floats) -> Floats:
    """Return by which share the second column is smaller than the first."""
    found: Floats = 1 - sums[..., 1] / sums[..., 0]
    return found


def difference(sums: Floats) -> Floats:
    """Return the ratio of the first two columns minus that of the last two."""
    found: Floats = sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]
    return found
