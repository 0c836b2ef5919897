"""The gate's columns and thresholds."""

import numpy as np
import pytest

from assistant.rank.confidence import GATE_FEATURES, LEVELS, OperatingPoint, gate_row, threshold

POINTS = {
    name: OperatingPoint(threshold=value, precision=0.5, coverage=0.5, hidden=0.5)
    for name, value in zip(LEVELS, (0.9, 0.7, 0.4, 0.1), strict=True)
}
TEXTS = ("name)", "name + 1", "other")
SHARES = np.array([0.5, 0.2, 0.1], np.float32)


def columns(chosen: int = 0, n_chars: int | None = None) -> dict[str, float]:
    row = gate_row(TEXTS, SHARES, chosen, {"mean": -0.5, "longest": 3.0}, n_chars=n_chars)
    return dict(zip(GATE_FEATURES, row, strict=True))


def test_row_says_how_the_belief_is_spread() -> None:
    row = columns()
    assert row["share"] == pytest.approx(0.5)
    assert row["second"] == pytest.approx(0.2)
    assert row["none"] == pytest.approx(0.2, abs=1e-6)
    assert row["agreeing"] == pytest.approx(0.5)
    assert row["head_agreeing"] == pytest.approx(0.7)
    assert (row["mean"], row["longest"], row["is_greedy"]) == (-0.5, 3.0, 0.0)
    assert row["is_cut"] == 0.0


def test_beginning_of_a_text_is_backed_by_all_that_begin_so() -> None:
    row = columns(n_chars=4)
    assert row["agreeing"] == pytest.approx(0.7)
    assert row["is_cut"] == 1.0


def test_certain_share_has_a_finite_logit() -> None:
    row = gate_row(("a",), np.array([1.0], np.float32), 0, {})
    assert np.isfinite(row).all()


@pytest.mark.parametrize(
    ("show", "is_familiar", "expected"),
    [
        ("eager", True, 0.1),
        ("balanced", True, 0.4),
        ("quiet", True, 0.7),
        ("eager", False, 0.1),
        ("balanced", False, 0.7),  # stricter where the network was not trained
        ("quiet", False, 0.9),
    ],
)
def test_setting_picks_a_point(show: str, is_familiar: bool, expected: float) -> None:
    assert threshold(show, POINTS, is_familiar=is_familiar) == expected


def test_off_is_never_reached() -> None:
    assert threshold("off", POINTS, is_familiar=True) > 1
