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
from tests.repositories import commit_files, new_repository
from tests.scripted import speaking_folder
from tests.training.finetune.judging.made_sheets import made_fitted, made_sheets
from training.finetune.judging import refit as refit_module
from training.finetune.judging import refit_strategies as refit_ways
from training.finetune.judging.refit import Development, grouped, refit, refitted
from training.finetune.judging.refit_strategies import KEEP


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refit_ways, "STEPS", 25)


def test_files_are_left_out_where_there_are_too_few_commits() -> None:
    few = made_sheets(12, n_commits=4)
    paths = [f"{i % 3}.py" for i in range(12)]
    assert [each.group for each in grouped(few, paths)] == [
        f"{each.group} {path}" for each, path in zip(few, paths, strict=True)
    ]
    enough = made_sheets(12, n_commits=5)
    assert grouped(enough, paths) == enough


@pytest.mark.parametrize(("n", "n_commits"), [(149, 8), (160, 4)])
def test_too_little_keeps_the_bases_parameters(n: int, n_commits: int) -> None:
    start = made_fitted(0.1, -3.0)
    found = refitted(made_sheets(n, n_commits=n_commits), start)
    assert found.fitted is start
    assert (found.report.ranker, found.report.gate) == (KEEP, KEEP)
    assert f"{n} cursors of {n_commits} commits or files are too few" in found.report.reason


@pytest.mark.slow
def test_parameters_that_believe_too_little_are_replaced() -> None:
    start = made_fitted(0.1, -3.0)
    found = refitted(made_sheets(160), start)
    assert found.report.ranker != KEEP
    tried = found.report.tried
    assert tried[f"{found.report.ranker} / {found.report.gate}"]["gain"]["low"] > 0
    assert tried[f"{KEEP} / {KEEP}"]["gain"]["mean"] == 0
    assert found.fitted.points.keys() == start.points.keys()
    for name, its in found.fitted.points.items():  # the thresholds stay, what they give is measured
        assert its.threshold == start.points[name].threshold
    json.dumps(found.report.table())
    fresh = made_sheets(100, seed=3)
    before, after = (
        np.mean([refit_module._ranking_loss(each, which) for each in fresh])
        for which in (start, found.fitted)
    )
    assert after < before


@pytest.mark.slow
def test_chance_replaces_nothing() -> None:
    """Nothing can be learnt of sheets whose truth is drawn from what the start believes."""
    start, dice = made_fitted(2.0, -1.0), np.random.default_rng(0)
    sheets = []
    for each in made_sheets(160):
        shares = start.probabilities(each.rows)
        place = int((np.cumsum(shares) < dice.random()).sum())  # 4: none of them
        sheets.append(
            dataclasses.replace(each, truth=each.texts[place] if place < 4 else "none of them")
        )
    assert refitted(sheets, start).report.ranker == KEEP


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_repository(tmp_path_factory.mktemp("git") / "own", {"a.py": "import os\n"})
    return commit_files(path, {"b.py": "def first(handy_mo):\n    return handy_mo + 1\n" * 3})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("model"))


def test_base_without_a_ranker_leaves_the_model_without_one(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    on = Development(repository=repository, revisions="HEAD~1..HEAD", n_tasks=3)
    report = refit(model, model, tmp_path / "deep" / "out", on)
    assert "no ranker" in report.reason
    assert load_folder(tmp_path / "deep" / "out").ranker is None
    assert load_folder(tmp_path / "deep" / "out").content_hash == load_folder(model).content_hash


@pytest.mark.slow
def test_model_gets_the_bases_ranker_where_nothing_is_better(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    copy_folder(model, base, ranker=hand_made())
    steps: list[tuple[int, int]] = []
    on = Development(repository=repository, revisions="HEAD~1..HEAD", n_tasks=6)
    report = refit(model, base, out, on, lambda what, done, total: steps.append((done, total)))
    assert "too few to fit on" in report.reason
    assert steps[-1] == (6, 6)
    assert load_folder(out).ranker == json.loads(json.dumps(hand_made()))
    assert open_backend(str(out), threads=1).parameters is not None
