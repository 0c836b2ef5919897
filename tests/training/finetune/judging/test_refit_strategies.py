"""Each way on made-up sheets: what it learns, how it is held back, and that serving agrees."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.training.finetune.judging.made_sheets import made_fitted, made_sheets
from training.calibration.networks import choose
from training.finetune.judging import refit
from training.finetune.judging.refit_strategies import (
    GATE_WAYS,
    KEEP,
    LINEAR,
    RANKER_WAYS,
    WARM,
    gate_by,
    ranker_by,
)


@pytest.mark.parametrize("way", RANKER_WAYS[1:])
def test_ranker_that_believes_too_little_is_mended(way: str) -> None:
    start, sheets, fresh = made_fitted(0.3, -2.0), made_sheets(300), made_sheets(200, seed=1)
    fitted = dataclasses.replace(start, ranker=ranker_by(way, start.ranker, sheets))
    before, after = (
        np.mean([refit._ranking_loss(each, which) for each in fresh]) for which in (start, fitted)
    )
    assert after < 0.9 * before


@pytest.mark.parametrize("way", GATE_WAYS[1:])
def test_gate_that_is_too_sure_is_mended(way: str) -> None:
    start = made_fitted(3.0, -3.0)
    sure = dataclasses.replace(
        start, gate=dataclasses.replace(start.gate, out_bias=start.gate.out_bias + 4.0)
    )
    choices, fresh = (
        [choose(each, sure) for each in made_sheets(300, seed=seed)] for seed in (0, 1)
    )
    gate = gate_by(way, sure.gate, choices)
    mended = [refit._regated(one, gate, sure) for one in fresh]
    before, after = (np.mean([refit._claim_loss(one) for one in its]) for its in (fresh, mended))
    assert after < 0.9 * before


@pytest.mark.parametrize("way", RANKER_WAYS[1:])
def test_little_data_changes_little(way: str) -> None:
    start, probe = made_fitted(0.3, -2.0).ranker, made_sheets(1, seed=5)[0].rows
    few, many = (ranker_by(way, start, made_sheets(n))(probe) for n in (3, 300))
    assert abs(few - start(probe)).max() < 0.5 * abs(many - start(probe)).max()


def test_keeping_changes_nothing() -> None:
    start, sheets = made_fitted(1.0), made_sheets(20)
    assert ranker_by(KEEP, start.ranker, sheets) is start.ranker
    assert gate_by(KEEP, start.gate, [choose(each, start) for each in sheets]) is start.gate


def test_without_candidates_there_is_nothing_to_learn() -> None:
    start = made_fitted(1.0)
    empty = dataclasses.replace(
        made_sheets(1)[0], texts=(), rows=np.zeros((0, 2), np.float32), truth="x"
    )
    assert ranker_by(WARM, start.ranker, [empty]) is start.ranker
    assert gate_by(WARM, start.gate, [choose(empty, start)]) is start.gate


def test_fit_is_a_function_of_its_sheets() -> None:
    start, sheets = made_fitted(0.3).ranker, made_sheets(40)
    first, second = (ranker_by(LINEAR, start, sheets) for _ in range(2))
    assert (first.hidden == second.hidden).all()
    assert len(first.out) == len(start.out) + 2  # the linear term, as hidden units
