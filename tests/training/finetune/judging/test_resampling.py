"""Paired intervals over commits, against figures worked out by hand."""

import pytest

from training.finetune.judging.resampling import difference, gain, ratio, resample


def test_ratio_counts_every_row_by_its_size() -> None:
    found = resample(["a", "a", "b"], [(1.0, 2.0), (1.0, 2.0), (8.0, 4.0)], ratio)
    assert found.mean == pytest.approx(10 / 8)
    assert found.low == pytest.approx(0.5)  # a alone
    assert found.high == pytest.approx(2.0)  # b alone


def test_gain_is_paired() -> None:
    rows = [(10.0 * size, 9.0 * size) for size in (1, 5, 30)]
    found = resample(["a", "b", "c"], rows, gain)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_one_cluster_has_no_range() -> None:
    found = resample(["a"] * 50, [(1.0, 1.0), (0.0, 1.0)] * 25, ratio)
    assert found.low == found.mean == found.high == 0.5


def test_draws_without_anything_to_divide_by_are_left_out() -> None:
    rows = [(1.0, 1.0, 1.0, 2.0), (0.0, 0.0, 0.0, 0.0)]
    found = resample(["a", "b"], rows, difference)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        resample([], [], ratio)
