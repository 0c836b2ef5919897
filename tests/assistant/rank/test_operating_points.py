"""The thresholds that the setting picks."""

import pytest

from assistant.rank.ranker import LEVELS, OperatingPoint, threshold

POINTS = {
    name: OperatingPoint(threshold=value, precision=0.5, coverage=0.5, hidden=0.5)
    for name, value in zip(LEVELS, (0.7, 0.4, 0.1), strict=True)
}


@pytest.mark.parametrize(("show", "expected"), [("eager", 0.1), ("balanced", 0.4), ("quiet", 0.7)])
def test_setting_picks_a_point(show: str, expected: float) -> None:
    assert threshold(show, POINTS) == expected


@pytest.mark.parametrize(("step", "expected"), [(0.05, 0.45), (-0.05, 0.35), (-0.4, 0.4)])
def test_a_step_moves_it_but_not_out_of_what_a_probability_can_be(
    step: float, expected: float
) -> None:
    assert threshold("balanced", POINTS, step=step) == pytest.approx(expected)
    assert threshold("balanced", POINTS, step=step, n=3) == 0.0
    assert threshold("off", POINTS, step=step) > 1


def test_off_is_never_reached() -> None:
    assert threshold("off", POINTS) > 1


def test_who_asks_by_hand_is_shown_what_there_is() -> None:
    assert threshold("balanced", POINTS, n=3) == 0.0
    assert threshold("quiet", None) == 0.0
