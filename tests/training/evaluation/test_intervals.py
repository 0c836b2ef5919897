"""Bootstrap intervals on outcomes whose mean is known."""

import pytest

from training.evaluation.intervals import Interval, macro_mean


def test_mean_is_over_groups_not_over_values() -> None:
    outcomes = {"big": {"a": [1.0] * 90, "b": [1.0] * 10}, "small": {"c": [0.0]}}
    assert macro_mean(outcomes).mean == 0.5


def test_interval_holds_the_mean_and_is_wider_for_clustered_outcomes() -> None:
    spread = {"r": {str(i): [float(i % 2)] for i in range(100)}}
    clustered = {"r": {"a": [1.0] * 50, "b": [0.0] * 50}}
    narrow, wide = macro_mean(spread), macro_mean(clustered)
    assert narrow.low < narrow.mean == 0.5 < narrow.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_same_seed_gives_the_same_interval() -> None:
    outcomes = {"r": {str(i): [float(i % 3 == 0)] for i in range(30)}}
    assert macro_mean(outcomes, seed=4) == macro_mean(outcomes, seed=4)


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        macro_mean({"r": {}})


def test_text_shows_percent() -> None:
    assert str(Interval(0.25, 0.2, 0.301)) == "25.0% [20.0, 30.1]"
