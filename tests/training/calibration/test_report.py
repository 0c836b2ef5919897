"""The figures of a fit: pairs at the same cursors, and a table that holds them all."""

import numpy as np
import pytest

from assistant.rank.beginnings import Beginnings
from assistant.rank.ranker import OTHERS, FittedRanker, OperatingPoint, SmallNetwork
from tests.fitted import ranking_of
from training.calibration.collect import RankingExample
from training.calibration.command import compare_systems, figures_of, format_report
from training.calibration.networks import RankedChoice

NET = SmallNetwork(
    mean=np.zeros(1, np.float32),
    scale=np.ones(1, np.float32),
    hidden=np.zeros((1, 1), np.float32),
    hidden_bias=np.zeros(1, np.float32),
    out=np.zeros(1, np.float32),
    out_bias=0.0,
)
LEVELS = {
    level: OperatingPoint(threshold=threshold, precision=0.5, coverage=0.5, hidden=0.5)
    for level, threshold in (("quiet", 0.8), ("balanced", 0.5), ("eager", 0.1))
}
FITTED = FittedRanker(ranker=NET, gate=NET, points=LEVELS, languages={OTHERS: (1.0, 0.0)})


def choice(
    place: int, *, is_right: bool, probability: float = 0.5, greedy: str = "", match: str = ""
) -> RankedChoice:
    example = RankingExample(
        repository=f"r{place % 2}",
        group=f"g{place % 6}",
        kind="head",
        truth="right",
        ranking=ranking_of(("right",), np.zeros((1, 1), np.float32), ("x",)),
        greedy=greedy,
        longest_match=match,
    )
    found = Beginnings(
        texts=("right",), places=(0,), is_whole=np.ones(1, bool), rows=np.zeros((1, 1), np.float32)
    )
    return RankedChoice(
        found=found, rights=np.array([is_right]), values=np.ones(1), best=0,
        probabilities=np.array([probability]), is_exact=is_right, example=example,
    )  # fmt: skip


def test_systems_are_compared_cursor_by_cursor() -> None:
    engine = [choice(n, is_right=n % 4 != 0, greedy="right" if n % 2 else "") for n in range(40)]
    index = [choice(n, is_right=n % 2 == 1, match="right" if n % 8 == 1 else "") for n in range(40)]
    found = compare_systems(engine, index, FITTED)
    exact = {name: its["mean"] for name, its in found["exact"].items()}
    assert exact == pytest.approx(
        {
            "network + index": 0.75,
            "index": 0.5,
            "network": 0.5,
            "longest match": 0.125,
            "network + index against longest match": 0.625,
            "network + index against index": 0.25,
        }
    )
    assert found["tasks"] == 40
    assert (
        found["exact"]["network + index against index"]["low"] >= 0
    )  # in no pair is the index better alone


def test_levels_are_measured_at_the_fitted_thresholds() -> None:
    engine = [choice(n, is_right=n < 10, probability=0.9 if n < 10 else 0.3) for n in range(40)]
    found = compare_systems(engine, engine, FITTED)
    assert found["levels"]["balanced"] == {
        "threshold": 0.5, "precision": 1.0, "coverage": 0.25, "hidden": 0.0
    }  # fmt: skip
    assert found["levels"]["eager"]["coverage"] == 1.0


def test_table_holds_the_fit_and_the_comparison() -> None:
    engine = [choice(n, is_right=n % 2 == 0, probability=0.1 + n / 100) for n in range(40)]
    figures = figures_of(engine, LEVELS)
    said = format_report(
        {
            "fitted": {"network + index": figures},
            "reported": {"head": compare_systems(engine, engine, FITTED)},
        }
    )
    assert "reported, head: 40 tasks" in said
    assert "network + index against longest match" in said
    assert "  40 tasks, exact 50.0%, off by 20.5 points" in said
    assert "  balanced    0.500   " in said
