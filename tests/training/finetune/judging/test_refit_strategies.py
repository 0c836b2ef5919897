"""Each strategy on made-up examples: what it learns, how it is regularised, what serving says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.training.finetune.judging.made_examples import made_examples, made_fitted
from training.calibration.networks import apply_gate, choose
from training.finetune.judging import refit
from training.finetune.judging.refit_strategies import (
    GATE_STRATEGIES,
    KEEP,
    LINEAR,
    RANKER_STRATEGIES,
    WARM,
    refit_gate,
    refit_ranker,
)


@pytest.mark.parametrize("strategy", RANKER_STRATEGIES[1:])
def test_ranker_that_believes_too_little_is_mended(strategy: str) -> None:
    start, examples, fresh = made_fitted(0.3, -2.0), made_examples(300), made_examples(200, seed=1)
    fitted = refit_ranker(strategy, start, examples)
    before, after = (
        np.mean([refit.ranking_loss(choose(each, which)) for each in fresh])
        for which in (start, fitted)
    )
    assert after < 0.9 * before


@pytest.mark.parametrize("strategy", GATE_STRATEGIES[1:])
def test_gate_that_is_too_sure_is_mended(strategy: str) -> None:
    start = made_fitted(3.0, -3.0)
    sure = dataclasses.replace(
        start, gate=dataclasses.replace(start.gate, out_bias=start.gate.out_bias + 4.0)
    )
    choices, fresh = (
        [choose(each, sure) for each in made_examples(300, seed=seed)] for seed in (0, 1)
    )
    fitted = refit_gate(strategy, sure, choices)
    mended = [apply_gate(one, fitted) for one in fresh]
    before, after = (np.mean([refit.claim_loss(one) for one in its]) for its in (fresh, mended))
    assert after < 0.9 * before


@pytest.mark.parametrize("strategy", RANKER_STRATEGIES[1:])
def test_little_data_changes_little(strategy: str) -> None:
    start, probe = made_fitted(0.3, -2.0), made_examples(1, seed=5)[0].rows
    few, many = (refit_ranker(strategy, start, made_examples(n)).ranker(probe) for n in (3, 300))
    before = start.ranker(probe)
    assert abs(few - before).max() < 0.5 * abs(many - before).max()


def test_keeping_changes_nothing() -> None:
    start, examples = made_fitted(1.0), made_examples(20)
    assert refit_ranker(KEEP, start, examples) is start
    assert refit_gate(KEEP, start, [choose(each, start) for each in examples]) is start


def test_without_candidates_there_is_nothing_to_learn() -> None:
    start = made_fitted(1.0)
    empty = dataclasses.replace(
        made_examples(1)[0], texts=(), rows=np.zeros((0, 2), np.float32), truth="x"
    )
    assert refit_ranker(WARM, start, [empty]) is start
    assert refit_gate(WARM, start, [choose(empty, start)]) is start


def test_fit_is_a_function_of_its_examples() -> None:
    start, examples = made_fitted(0.3), made_examples(40)
    first, second = (refit_ranker(LINEAR, start, examples).ranker for _ in range(2))
    assert (first.hidden == second.hidden).all()
    assert len(first.out) == len(start.ranker.out) + 2  # the linear term, as hidden units
