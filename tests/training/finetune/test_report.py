"""What is told of a judgement: figures and reasons, made from answers that a test dictates."""

import functools
import json
from typing import Any

import pytest

from tests.training.evaluation.replay.scripted_systems import (
    ScriptedSystem,
    answer,
    judged,
    stratum,
)
from training.evaluation.bits_per_byte import ByteCost
from training.evaluation.replay.report import assemble
from training.evaluation.replay.run import Asked, Line, Measured, Plan
from training.finetune.judge import compare_costs, decide, find_gain, registry_scores, system_name
from training.finetune.report import format_report

NAMES = [
    system_name(name, has_index=has_index)
    for has_index in (True, False)
    for name in ("tuned", "base")
]
TRUTH = "private_words()"


def asked(place: int) -> Asked:
    """The tuned model is right at two cursors of three, the base at one, with memory or without."""
    return Asked(
        stratum=stratum(commit=str(place % 6)),
        judged={
            name: judged(TRUTH if place % 3 <= name.startswith("tuned") else "no", TRUTH)
            for name in NAMES
        },
    )


@functools.cache
def measured_report() -> dict[str, Any]:
    line = Line(
        stratum=stratum(),
        text="ab",
        answers={
            name: [answer("ab" if name.startswith("tuned") else ""), answer("")] for name in NAMES
        },
    )
    measured = Measured(asked=[asked(place) for place in range(30)], lines=[line])
    systems = [ScriptedSystem(name, lambda task: "") for name in NAMES]
    base, tuned = (
        [ByteCost(group=str(i), bits=bits, n_bytes=100) for i in range(6)] for bits in (100.0, 95.0)
    )
    costs = compare_costs({"base": base, "tuned": tuned})
    plan = Plan(n_tasks=30, n_lines=1, revisions="a..b")
    return {
        "base": {"name": "old", "content_hash": "0" * 64},
        "tuned": {"name": "new", "content_hash": "f" * 64},
        "general_base": {"name": "old", "content_hash": "0" * 64},
        "bits": {"later": costs, "general": costs},
        "replay": assemble(measured, systems, plan, model="new", content_hash="f" * 64),
    }


def report(*, promoted: bool = True) -> dict[str, Any]:
    return measured_report() | {"promoted": promoted, "reasons": ["because"]}


def test_gains_are_of_cursors_and_typed_lines() -> None:
    assert find_gain(report(), "exact", has_index=True)["mean"] == pytest.approx(1 / 3)
    assert find_gain(report(), "saved", has_index=True)["mean"] == 0.5


def test_decision_and_scores_are_of_the_report() -> None:
    promoted, reasons = decide(report())
    assert not promoted
    [reason] = reasons
    assert reason.startswith("cursors that could be judged: 30, at least")
    scores = registry_scores(report())
    assert scores["exact_tuned_on"] == pytest.approx(2 / 3)
    assert scores["bits_tuned"] == pytest.approx(0.95)
    assert set(scores) == {
        *(f"{metric}_{model}_{memory}" for metric in ("exact", "saved")
          for model in ("base", "tuned") for memory in ("on", "off")),
        *(f"{what}_{model}" for what in ("bits", "general") for model in ("base", "tuned")),
    }  # fmt: skip


@pytest.mark.parametrize(("promoted", "said"), [(True, "takes the base's place"), (False, "stays")])
def test_report_says_what_was_decided_and_why(promoted: bool, said: str) -> None:
    given = report(promoted=promoted)
    shown = format_report(given)
    assert said in shown
    assert "because" in shown
    assert "new against old on r: 30 cursors in 6 judged commits" in shown
    assert "+5.0 [+5.0, +5.0]" in shown
    for text in (shown, json.dumps(given)):
        assert "private" not in text
