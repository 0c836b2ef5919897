"""Figures with 95% intervals, bootstrapped over clusters such as commits or files; reliability.

Cursors and bytes of one commit are not independent, so clusters are drawn, not cursors. What is
drawn of two systems is drawn together: their difference is paired.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

N_RESAMPLE = 2_000
N_BINS = 10  # of probability

Figure = dict[str, float]  # a mean, and the range of 95% of its resamples: mean, low, high


def macro_mean(values: Iterable[tuple[str, str, float]]) -> Figure:
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
    return {"mean": float(np.mean(point)), "low": float(low), "high": float(high)}


def paired_gain(rows: Sequence[tuple[str, float, float]]) -> Figure:
    """Return by which share the costs after are smaller than those before, all rows together.

    Rows are (cluster, before, after). ValueError for none.
    """
    if not rows:
        raise ValueError("paired_gain() of nothing")
    sums: dict[str, tuple[float, float]] = {}
    for cluster, before, after in rows:
        old = sums.get(cluster, (0.0, 0.0))
        sums[cluster] = (old[0] + before, old[1] + after)
    values = np.array(list(sums.values()))
    draws = np.random.Generator(np.random.Philox(key=[0, 0]))
    # How often each cluster is drawn, when as many are drawn as there are.
    counts = draws.multinomial(len(values), np.full(len(values), 1 / len(values)), size=N_RESAMPLE)
    drawn, point = counts @ values, values.sum(0)
    low, high = np.percentile(1 - drawn[:, 1] / drawn[:, 0], [2.5, 97.5])
    return {"mean": float(1 - point[1] / point[0]), "low": float(low), "high": float(high)}


def reliability(answers: Iterable[tuple[float, bool]]) -> list[dict[str, float]]:
    """Return how often answers of each probability are right, for each bin that holds any.

    `answers` are (probability, is right). A bin is of probabilities in [low, high): n answers, the
    mean claimed, and the share right.
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for probability, is_right in answers:
        index = min(int(probability * N_BINS), N_BINS - 1)
        bins.setdefault(index, []).append((probability, is_right))
    return [
        {
            "low": index / N_BINS,
            "high": (index + 1) / N_BINS,
            "n": len(inside),
            "claimed": statistics.fmean(probability for probability, _ in inside),
            "right": statistics.fmean(is_right for _, is_right in inside),
        }
        for index, inside in sorted(bins.items())
    ]


def calibration_error(bins: Sequence[Mapping[str, float]]) -> float | None:
    """Return the expected calibration error: the mean distance of claim and truth."""
    n = sum(one["n"] for one in bins)
    return sum(one["n"] * abs(one["claimed"] - one["right"]) for one in bins) / n if n else None


def format_percent(value: Mapping[str, float] | float | None) -> str:
    """Return a share or an interval's mean as text, "-" for none."""
    mean = value["mean"] if isinstance(value, Mapping) else value
    return "-" if mean is None else f"{100 * mean:.1f}%"


def format_interval(value: Mapping[str, float]) -> str:
    """Return a share in percent with its range."""
    mean, low, high = (100 * value[key] for key in ("mean", "low", "high"))
    return f"{mean:.1f}% [{low:.1f}, {high:.1f}]"


def format_points(value: Mapping[str, float]) -> str:
    """Return a difference of two shares in points, with its range."""
    mean, low, high = (100 * value[key] for key in ("mean", "low", "high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
