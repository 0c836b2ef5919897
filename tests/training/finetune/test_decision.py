"""Each margin decides, alone; nothing is promoted by chance."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from training.evaluation.intervals import Interval, paired_gain
from training.finetune.judge import (
    MIN_COMMITS,
    MIN_TASKS,
    decide,
)

LATER_GAIN, EXACT_GAIN = Interval(0.06, 0.04, 0.08), Interval(0.02, 0.005, 0.035)


def decision(
    *,
    later_gain: Interval = LATER_GAIN,
    exact_gain: Interval = EXACT_GAIN,
    general_tuned: float = 1.21,
    later_commits: int = 12,
    commits: int = 12,
    tasks: int = 600,
) -> tuple[bool, list[str]]:
    """Decide about a model that is better, but for what a test changes."""
    later: dict[str, Any]
    later, exact, general = (
        {"base": base, "tuned": tuned}
        for base, tuned in ((1.0, 0.94), (0.25, 0.27), (1.2, general_tuned))
    )
    later |= {"gain": dataclasses.asdict(later_gain), "groups": later_commits}
    sides = {"left": "tuned + index", "right": "base + index", "metric": "exact"}
    replay = {
        "systems": {f"{name} + index": {"exact": {"mean": its}} for name, its in exact.items()},
        "differences": [sides | dataclasses.asdict(exact_gain)],
        "repositories": [{"tasks": tasks, "commits": commits}],
    }
    return decide({"bits": {"later": later, "general": general}, "replay": replay})


def test_better_model_is_promoted_with_all_that_speaks_for_it() -> None:
    promoted, reasons = decision()
    assert promoted
    assert reasons[0] == (
        "lines added later cost 6.0% fewer bits per byte than with the base (1.000 to 0.940;"
        " gain 6.0% [4.0, 8.0]); 1.0% fewer are required"
    )
    assert "25.0% to 27.0% (+2.0 [+0.5, +3.5] points, 600 cursors)" in reasons[1]
    assert "0.8% more bits per byte" in reasons[2]
    assert "2.0% more are allowed" in reasons[2]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exact_gain": Interval(0.0, -0.01, 0.01)}, "more are required"),
        ({"later_gain": Interval(0.009, 0.005, 0.02)}, "1.0% fewer are required"),
        ({"later_gain": Interval(0.02, -0.001, 0.04)}, "this may be chance"),
        ({"later_gain": Interval(0.02, 0.0, 0.04)}, "this may be chance"),
        ({"exact_gain": Interval(0.0, -0.021, 0.02)}, "no lower end below -2.0 points"),
        ({"exact_gain": Interval(-0.001, -0.01, 0.01)}, "more are required"),
        ({"general_tuned": 1.225}, "2.0% more are allowed at most"),
        ({"commits": MIN_COMMITS - 1}, "commits that could be judged: 4, at least 5"),
        ({"later_commits": 1}, "commits that could be judged: 1,"),
        ({"tasks": MIN_TASKS - 1}, "cursors that could be judged: 99,"),
    ],
)
def test_each_miss_keeps_the_base(changed: dict[str, Any], said: str) -> None:
    promoted, reasons = decision(**changed)
    assert not promoted
    [reason] = reasons
    assert said in reason


def test_refusal_names_every_miss() -> None:
    promoted, reasons = decision(
        later_gain=Interval(-0.1, -0.2, 0.0),
        exact_gain=Interval(-0.1, -0.2, 0.0),
        general_tuned=2.0,
    )
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
        found = paired_gain(list(zip(names, base, tuned, strict=True)))
        n_promoted += decision(later_gain=found)[0]
    assert n_promoted <= 0.1 * 60
