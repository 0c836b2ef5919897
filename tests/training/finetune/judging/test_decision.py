"""Each margin decides, alone; nothing is promoted by chance."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from training.evaluation.intervals import Interval
from training.finetune.judging.decision import (
    MIN_COMMITS,
    MIN_TASKS,
    DecisionFigures,
    decide,
)
from training.finetune.judging.resampling import gain, resample

GOOD = DecisionFigures(
    later_base=1.0,
    later_tuned=0.94,
    later_gain=Interval(0.06, 0.04, 0.08),
    later_commits=12,
    general_base=1.2,
    general_tuned=1.21,
    exact_base=0.25,
    exact_tuned=0.27,
    exact_gain=Interval(0.02, 0.005, 0.035),
    tasks=600,
    commits=12,
)


def test_better_model_is_promoted_with_all_that_speaks_for_it() -> None:
    promoted, reasons = decide(GOOD)
    assert promoted
    assert reasons[0] == (
        "lines added later cost 6.0% fewer bits per byte than with the base (1.000 to 0.940;"
        " gain 6.0% [4.0, 8.0]); 1.0% fewer are required"
    )
    assert "25.0% to 27.0% (+2.0 points [+0.5, +3.5], 600 cursors)" in reasons[1]
    assert "0.8% more bits per byte" in reasons[2]
    assert "2.0% more are allowed" in reasons[2]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"later_gain": Interval(0.009, 0.005, 0.02)}, "1.0% fewer are required"),
        ({"later_gain": Interval(0.02, -0.001, 0.04)}, "this may be chance"),
        ({"later_gain": Interval(0.02, 0.0, 0.04)}, "this may be chance"),
        ({"exact_gain": Interval(0.0, -0.021, 0.02)}, "no lower end below -2.0 points"),
        ({"exact_gain": Interval(-0.001, -0.01, 0.01)}, "no loss is allowed"),
        ({"general_tuned": 1.225}, "2.0% more are allowed at most"),
        ({"commits": MIN_COMMITS - 1}, "only 4 commits could be judged"),
        ({"later_commits": 1}, "only 1 commit could be judged"),
        ({"tasks": MIN_TASKS - 1}, "only 99 cursors could be judged"),
    ],
)
def test_each_miss_keeps_the_base(changed: dict[str, Any], said: str) -> None:
    promoted, reasons = decide(dataclasses.replace(GOOD, **changed))
    assert not promoted
    [reason] = reasons
    assert said in reason


def test_as_many_lines_as_before_are_enough() -> None:
    assert decide(dataclasses.replace(GOOD, exact_gain=Interval(0.0, -0.02, 0.02)))[0]


def test_refusal_names_every_miss() -> None:
    worse = dataclasses.replace(
        GOOD,
        later_gain=Interval(-0.1, -0.2, 0.0),
        exact_gain=Interval(-0.1, -0.2, 0.0),
        general_tuned=2.0,
    )
    promoted, reasons = decide(worse)
    assert not promoted
    assert len(reasons) == 3
    assert "10.0% more bits per byte" in reasons[0]


def test_noise_alone_hardly_ever_passes_the_first_margin() -> None:
    """A network that is no better: each commit's bits differ by 3% either way, by chance."""
    draws, n_promoted = np.random.default_rng(0), 0
    for _ in range(60):
        base = draws.lognormal(7, 1, size=15)
        tuned = base * (1 + 0.03 * draws.standard_normal(15))
        names = [str(i) for i in range(15)]
        found = resample(names, list(zip(base, tuned, strict=True)), gain)
        n_promoted += decide(dataclasses.replace(GOOD, later_gain=found))[0]
    assert n_promoted <= 0.1 * 60
