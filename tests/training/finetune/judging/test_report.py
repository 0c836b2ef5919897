"""What is told of a judgement: figures and reasons, made from answers that a test dictates."""

from __future__ import annotations

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
from training.evaluation.replay.metrics import Asked, Line
from training.evaluation.replay.report import About, assemble
from training.evaluation.replay.run import Measured, Plan
from training.finetune.judging.judging import Bits, figures_of, gains, scores_of, system_name
from training.finetune.judging.report_html import page
from training.finetune.judging.report_text import table

NAMES = [system_name(name, memory=memory) for memory in (True, False) for name in ("tuned", "base")]
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
    both = Bits(
        base=[ByteCost(group=str(i), bits=100.0, n_bytes=100) for i in range(6)],
        tuned=[ByteCost(group=str(i), bits=95.0, n_bytes=100) for i in range(6)],
    )
    plan = Plan(n_tasks=30, n_lines=1, revisions="a..b")
    about = About(model="new", content_hash="f" * 64, skipped=())
    return {
        "base": {"name": "old", "content_hash": "0" * 64},
        "tuned": {"name": "new", "content_hash": "f" * 64},
        "bits": {"later": both.table(), "general": both.table()},
        "gains": gains(measured),
        "replay": assemble(measured, systems, plan, about),
    }


def report(*, promoted: bool = True) -> dict[str, Any]:
    return measured_report() | {"promoted": promoted, "reasons": ["because <so>"]}


def test_gains_are_of_all_lines_and_by_kind_of_line() -> None:
    found = {(g["memory"], g["lines"], g["metric"]): g for g in report()["gains"]}
    assert found[True, "all", "exact"]["mean"] == pytest.approx(1 / 3)
    assert found[False, "new", "exact"]["tasks"] == 30
    assert found[True, "all", "saved"]["mean"] == 0.5
    assert (True, "new", "saved") not in found


def test_figures_and_scores_are_the_reports() -> None:
    figures = figures_of(report())
    assert (figures.exact_base, figures.exact_tuned) == pytest.approx((1 / 3, 2 / 3))
    assert figures.later_gain.mean == pytest.approx(0.05)
    assert (figures.tasks, figures.commits, figures.later_commits) == (30, 6, 6)
    scores = scores_of(report())
    assert scores["exact_tuned_on"] == pytest.approx(2 / 3)
    assert scores["bits_tuned"] == pytest.approx(0.95)
    assert set(scores) == {
        *(f"{metric}_{model}_{memory}" for metric in ("exact", "saved")
          for model in ("base", "tuned") for memory in ("on", "off")),
        *(f"{what}_{model}" for what in ("bits", "general") for model in ("base", "tuned")),
    }  # fmt: skip


@pytest.mark.parametrize(("promoted", "said"), [(True, "takes the base's place"), (False, "stays")])
def test_table_and_page_say_what_was_decided_and_why(promoted: bool, said: str) -> None:
    given = report(promoted=promoted)
    shown = table(given)
    assert said in shown
    assert "because <so>" in shown
    assert "new against old on r: 30 cursors in 6 judged commits" in shown
    assert "+5.0% [+5.0, +5.0]" in shown
    html = page(given)
    assert said in html.replace("&#x27;", "'")
    assert "because &lt;so&gt;" in html
    assert "<script" not in html
    for text in (shown, html, json.dumps(given)):
        assert "private" not in text


def test_refit_is_told_if_there_was_one() -> None:
    gain = {"mean": 0.1, "low": 0.05, "high": 0.2}
    tried = {"a / b": {"ranking": 1.0, "claim": 0.5, "gain": gain, "exact_gain": gain}}
    refit = {
        "ranker": "warm start", "gate": "as it is", "reason": "better", "cursors": 200,
        "commits": 9, "tried": tried,
    }  # fmt: skip
    given = report() | {"refit": refit}
    assert "ranker warm start, gate as it is (200 cursors in 9 commits): better" in table(given)
    assert "+0.1000 [+0.0500, +0.2000]" in page(given)
    assert "refitted" not in table(report())
