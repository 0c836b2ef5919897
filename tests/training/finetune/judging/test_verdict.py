"""The margins: shares, and nothing else."""

import math

import pytest

from training.finetune.judging.verdict import Limits


def test_margins_have_defaults_that_are_shares() -> None:
    limits = Limits()
    assert 0 < limits.min_gain_bits < limits.max_general_loss < 0.1


@pytest.mark.parametrize("value", [-0.01, 1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["min_gain_bits", "max_exact_loss", "max_general_loss"])
def test_margin_that_is_no_share_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a share"):
        Limits(**{name: value})
