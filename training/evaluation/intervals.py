"""Means with 95% intervals, bootstrapped over clusters such as the files of a repository."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

N_RESAMPLE = 2_000


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the range that holds 95% of its bootstrap resamples."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f}% [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def macro_mean(values: Iterable[tuple[str, str, float]]) -> Interval:
    """Return the mean over groups of each group's mean; clusters are resampled inside their group.

    `values` are (group, cluster, value): a repository, its file, and 0 or 1, say. ValueError for
    none.
    """
    outcomes: dict[str, dict[str, list[float]]] = {}
    for group, cluster, value in values:
        outcomes.setdefault(group, {}).setdefault(cluster, []).append(value)
    if not outcomes:
        raise ValueError("macro_mean() of nothing")
    draws = np.random.Generator(np.random.Philox(key=[0, 0]))
    point, resampled = [], []
    for clusters in outcomes.values():
        sums = np.array([sum(its) for its in clusters.values()], float)
        counts = np.array([len(its) for its in clusters.values()], float)
        point.append(sums.sum() / counts.sum())
        picks = draws.integers(len(sums), size=(N_RESAMPLE, len(sums)))
        resampled.append(sums[picks].sum(1) / counts[picks].sum(1))
    low, high = np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])
    return Interval(float(np.mean(point)), float(low), float(high))


def format_percent(value: Mapping[str, float] | float | None) -> str:
    """Return a share or an interval's mean as text, "-" for none."""
    mean = value["mean"] if isinstance(value, Mapping) else value
    return "-" if mean is None else f"{100 * mean:.1f}%"


def format_interval(value: Mapping[str, float] | None) -> str:
    """Return a mean with its range, if it has one: one commit alone says nothing of others."""
    if value is None or value["low"] == value["high"]:
        return format_percent(value)
    return str(Interval(**value))
