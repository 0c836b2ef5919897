"""Bootstrap intervals on outcomes whose mean is known."""

import pytest

from training.evaluation.intervals import Interval, macro_mean


def test_mean_is_over_groups_not_over_values() -> None:
    big = [("big", "a", 1.0)] * 90 + [("big", "b", 1.0)] * 10
    assert macro_mean([*big, ("small", "c", 0.0)]).mean == 0.5


def test_interval_holds_the_mean_and_is_wider_for_clustered_outcomes() -> None:
    spread = [("r", str(i), float(i % 2)) for i in range(100)]
    clustered = [("r", "a", 1.0)] * 50 + [("r", "b", 0.0)] * 50
    narrow, wide = macro_mean(spread), macro_mean(clustered)
    assert narrow.low < narrow.mean == 0.5 < narrow.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_same_outcomes_give_the_same_interval() -> None:
    outcomes = [("r", str(i), float(i % 3 == 0)) for i in range(30)]
    assert macro_mean(outcomes) == macro_mean(outcomes)


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        macro_mean([])


def test_text_shows_percent() -> None:
    assert str(Interval(0.25, 0.2, 0.301)) == "25.0% [20.0, 30.1]"
