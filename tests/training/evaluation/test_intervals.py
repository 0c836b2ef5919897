"""Bootstrap intervals on outcomes whose mean is known."""

import pytest

from training.evaluation.intervals import (
    calibration_error,
    format_interval,
    format_percent,
    format_points,
    macro_mean,
    paired_gain,
    reliability,
)


def test_mean_is_over_groups_not_over_values() -> None:
    big = [("big", "a", 1.0)] * 90 + [("big", "b", 1.0)] * 10
    assert macro_mean([*big, ("small", "c", 0.0)])["mean"] == 0.5


def test_interval_holds_the_mean_and_is_wider_for_clustered_outcomes() -> None:
    spread = [("r", str(i), float(i % 2)) for i in range(100)]
    clustered = [("r", "a", 1.0)] * 50 + [("r", "b", 0.0)] * 50
    narrow, wide = macro_mean(spread), macro_mean(clustered)
    assert narrow["low"] < narrow["mean"] == 0.5 < narrow["high"]
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


def test_same_outcomes_give_the_same_interval() -> None:
    outcomes = [("r", str(i), float(i % 3 == 0)) for i in range(30)]
    assert macro_mean(outcomes) == macro_mean(outcomes)


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        macro_mean([])


def test_text_shows_percent() -> None:
    assert format_interval({"mean": 0.25, "low": 0.2, "high": 0.301}) == "25.0% [20.0, 30.1]"


def test_gain_is_paired_and_counts_every_row_by_its_size() -> None:
    found = paired_gain([("a", 10.0, 9.0), ("b", 50.0, 45.0), ("c", 300.0, 270.0)])
    assert found == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1})
    found = paired_gain([("a", 1.0, 0.5), ("a", 1.0, 0.5), ("b", 8.0, 8.0)])
    assert found == pytest.approx({"mean": 0.1, "low": 0.0, "high": 0.5})
    with pytest.raises(ValueError, match="of nothing"):
        paired_gain([])


def test_shares_and_points_are_shown_short() -> None:
    assert (format_percent(None), format_percent({"mean": 0.5})) == ("-", "50.0%")
    assert format_points({"mean": 0.018, "low": -0.002, "high": 0.042}) == "+1.8 [-0.2, +4.2]"


def test_claims_are_held_against_what_was_right_in_bins() -> None:
    found = reliability([(0.8, True), (0.8, False), (1.0, True)])
    assert found == [
        {"low": 0.8, "high": 0.9, "n": 2, "claimed": pytest.approx(0.8), "right": 0.5},
        {"low": 0.9, "high": 1.0, "n": 1, "claimed": 1.0, "right": 1.0},  # certainty, too
    ]
    assert calibration_error(found) == pytest.approx(2 * 0.3 / 3)
    assert calibration_error([]) is None
