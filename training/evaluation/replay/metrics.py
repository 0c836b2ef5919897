"""From judged answers to figures: means over repositories with intervals over their commits.

Every mean is of repositories' means, so a repository with more tasks counts no more. Intervals are
bootstrapped by commit: cursors of one commit stand and fall together. A difference of two systems
is measured cursor by cursor, which is far sharper than two intervals side by side. Knows no system.
"""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence

from training.evaluation.answers import Answer, Judged, Keystrokes, type_line
from training.evaluation.intervals import Figure, macro_mean
from training.evaluation.replay.tasks import Stratum

N_BINS = 10  # of probability


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One cursor and each system's judged answer."""

    stratum: Stratum
    judged: Mapping[str, Judged]

    def value(self, system: str, metric: str) -> float:
        """Return 1 or 0 by what an answer is: "exact", "right" or "offered"."""
        return float(getattr(self.judged[system], f"is_{metric}"))

    def is_shown(self, system: str, least: float) -> bool:
        """Say whether there is something, and it has at least this probability."""
        judged = self.judged[system]
        return judged.is_offered and judged.answer.probability >= least


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line and each system's answers before each of its characters."""

    stratum: Stratum
    text: str
    answers: Mapping[str, Sequence[Answer]]

    def type_with(self, system: str, least: float = 0.0) -> Keystrokes:
        """Type it with one system's help."""
        return type_line(self.text, self.answers[system], least)


def interval(values: Iterable[tuple[Stratum, float]]) -> Figure | None:
    """Return the mean over repositories and its range; None of no values."""
    rows = [(stratum.repository, stratum.commit, value) for stratum, value in values]
    return dataclasses.asdict(macro_mean(rows)) if rows else None


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


def reliability(judged: Sequence[Judged]) -> list[dict[str, float]]:
    """Return how often answers of each probability are right, for each bin that holds any.

    A bin is of probabilities in [low, high): n answers, the mean claimed, and the share right.
    """
    bins: dict[int, list[Judged]] = {}
    for one in judged:
        if one.is_offered:
            index = min(int(one.answer.probability * N_BINS), N_BINS - 1)
            bins.setdefault(index, []).append(one)
    return [
        {
            "low": index / N_BINS,
            "high": (index + 1) / N_BINS,
            "n": len(inside),
            "claimed": statistics.fmean(one.answer.probability for one in inside),
            "right": statistics.fmean(one.is_right for one in inside),
        }
        for index, inside in sorted(bins.items())
    ]


def calibration_error(bins: Sequence[dict[str, float]]) -> float | None:
    """Return the expected calibration error: the mean distance of claim and truth."""
    n = sum(one["n"] for one in bins)
    return sum(one["n"] * abs(one["claimed"] - one["right"]) for one in bins) / n if n else None


def threshold_for(judged: Sequence[Judged], share: float = 0.5) -> float | None:
    """Return the threshold that shows this share of the cursors; None if so much is not offered."""
    offered = sorted((one.answer.probability for one in judged if one.is_offered), reverse=True)
    n = max(1, round(share * len(judged)))
    return offered[n - 1] if len(offered) >= n else None
