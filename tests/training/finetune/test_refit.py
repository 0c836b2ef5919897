"""What is not clearly better on commits left out is not used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from assistant.generate.backend import open_backend
from model.folder import copy_folder, load_folder
from tests.fitted import table as hand_made
from tests.histories import made_plan
from tests.repositories import commit_files, new_repository
from tests.scripted import speaking_folder
from tests.training.finetune.made_examples import made_examples, made_fitted
from training.calibration.networks import apply_gate, choose
from training.finetune import refit
from training.finetune.plan import TuneOptions, TunePlan
from training.finetune.refit import (
    KEEP,
    REFIT,
    choose_parameters,
    claim_loss,
    group_examples,
    ranking_loss,
    refit_folder,
    refit_gate,
    refit_ranker,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refit, "STEPS", 25)


@pytest.fixture
def thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refit, "STEPS", 100)


def test_files_are_left_out_where_there_are_too_few_commits() -> None:
    few = [
        dataclasses.replace(each, path=f"{i % 3}.py")
        for i, each in enumerate(made_examples(12, n_commits=4))
    ]
    assert [each.group for each in group_examples(few)] == [
        f"commit{i % 4} {i % 3}.py" for i in range(12)
    ]
    enough = made_examples(12, n_commits=5)
    assert group_examples(enough) == enough


@pytest.mark.parametrize(("n", "n_commits"), [(149, 8), (160, 4)])
def test_too_little_keeps_the_bases_parameters(n: int, n_commits: int) -> None:
    start = made_fitted(0.1, -3.0)
    fitted, report = choose_parameters(made_examples(n, n_commits=n_commits), start)
    assert fitted is start
    assert (report["ranker"], report["gate"]) == (KEEP, KEEP)
    assert f"{n} cursors of {n_commits} commits or files are too few" in report["reason"]


@pytest.mark.slow
@pytest.mark.usefixtures("thorough")
def test_parameters_that_believe_too_little_are_replaced() -> None:
    start = made_fitted(0.1, -3.0)
    fitted, report = choose_parameters(made_examples(160), start)
    assert (report["ranker"], report["gate"]) != (KEEP, KEEP)
    tried = report["tried"]
    assert tried[f"{report['ranker']} / {report['gate']}"]["gain"]["low"] > 0
    assert tried[f"{KEEP} / {KEEP}"]["gain"]["mean"] == 0
    assert fitted.points.keys() == start.points.keys()
    for name, its in fitted.points.items():  # the thresholds stay, what they give is measured
        assert its.threshold == start.points[name].threshold
    json.dumps(report)
    fresh = made_examples(100, seed=3)
    before, after = (
        np.mean([ranking_loss(one) + claim_loss(one) for one in its])
        for its in ([choose(each, which) for each in fresh] for which in (start, fitted))
    )
    assert after < before


@pytest.mark.slow
def test_chance_replaces_nothing() -> None:
    """Nothing can be learnt of examples whose truth is drawn from what the start believes."""
    start, dice = made_fitted(2.0, -1.0), np.random.default_rng(0)
    examples = []
    for each in made_examples(160):
        shares = start.probabilities(each.rows)
        place = int((np.cumsum(shares) < dice.random()).sum())  # 4: none of them
        examples.append(
            dataclasses.replace(each, truth=each.texts[place] if place < 4 else "none of them")
        )
    assert choose_parameters(examples, start)[1]["ranker"] == KEEP


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_repository(tmp_path_factory.mktemp("git") / "own", {"a.py": "import os\n"})
    return commit_files(path, {"b.py": "def first(handy_mo):\n    return handy_mo + 1\n" * 3})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("model"))


def plan_of(repository: Path, n_tasks: int) -> TunePlan:
    split = dataclasses.replace(made_plan().split, trained_to="HEAD~1", developed_to="HEAD")
    options = TuneOptions(n_tasks=n_tasks)
    return made_plan(root=str(repository), split=split, options=options)


def test_base_without_a_ranker_leaves_the_model_without_one(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    report = refit_folder(model, tmp_path / "out", plan_of(repository, 3))
    assert "no ranker" in report["reason"]
    assert load_folder(tmp_path / "out").ranker is None
    assert load_folder(tmp_path / "out").content_hash == load_folder(model).content_hash


@pytest.mark.slow
def test_model_keeps_the_bases_ranker_where_nothing_is_better(
    repository: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate, out = tmp_path / "candidate", tmp_path / "out"
    copy_folder(model, candidate, ranker=hand_made())
    report = refit_folder(candidate, out, plan_of(repository, 6))
    assert "too few to fit on" in report["reason"]
    assert "gate by 6/6" in capsys.readouterr().err
    assert load_folder(out).ranker == json.loads(json.dumps(hand_made()))
    assert open_backend(str(out), threads=1).parameters is not None


@pytest.mark.usefixtures("thorough")
def test_ranker_that_believes_too_little_is_mended() -> None:
    start, examples, fresh = made_fitted(0.3, -2.0), made_examples(300), made_examples(200, seed=1)
    fitted = refit_ranker(REFIT, start, examples)
    before, after = (
        np.mean([ranking_loss(choose(each, which)) for each in fresh]) for which in (start, fitted)
    )
    assert after < 0.9 * before


@pytest.mark.usefixtures("thorough")
def test_gate_that_is_too_sure_is_mended() -> None:
    start = made_fitted(3.0, -3.0)
    sure = dataclasses.replace(
        start, gate=dataclasses.replace(start.gate, out_bias=start.gate.out_bias + 4.0)
    )
    choices, fresh = (
        [choose(each, sure) for each in made_examples(300, seed=seed)] for seed in (0, 1)
    )
    fitted = refit_gate(REFIT, sure, choices)
    mended = [apply_gate(one, fitted) for one in fresh]
    before, after = (np.mean([claim_loss(one) for one in its]) for its in (fresh, mended))
    assert after < 0.9 * before


def test_little_data_changes_little() -> None:
    start, probe = made_fitted(0.3, -2.0), made_examples(1, seed=5)[0].rows
    few, many = (refit_ranker(REFIT, start, made_examples(n)).ranker(probe) for n in (3, 300))
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
    assert refit_ranker(REFIT, start, [empty]) is start
    assert refit_gate(REFIT, start, [choose(empty, start)]) is start


def test_fit_is_a_function_of_its_examples() -> None:
    start, examples = made_fitted(0.3), made_examples(40)
    first, second = (refit_ranker(REFIT, start, examples).ranker for _ in range(2))
    assert (first.hidden == second.hidden).all()
    assert len(first.out) == len(start.ranker.out) + 2  # the linear term, as hidden units
