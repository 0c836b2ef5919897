"""The 2x2 on a small repository, with real folders whose weights say what will come of it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.folder import load_folder
from tests.doubles import tiny_folder, tiny_info
from tests.histories import made_plan
from tests.repositories import commit_files, new_repository
from tests.scripted import speaking_folder
from training.data.progress import Progress
from training.evaluation.intervals import Figure, paired_gain
from training.evaluation.replay import run
from training.evaluation.replay.history import ReplayError
from training.finetune.judge import (
    MIN_COMMITS,
    decide,
    find_gain,
    judge_models,
    system_name,
)
from training.finetune.plan import ModelRef, TunePlan
from training.finetune.report import format_report
from training.finetune.request import MIN_TASKS, TuneOptions

SECRET = "unheard_of_name"
GENERAL = [("lib.py", "def handy():\n    return 1\n")]


def figure(mean: float, low: float, high: float) -> Figure:
    return {"mean": mean, "low": low, "high": high}


LATER_GAIN, EXACT_GAIN = figure(0.06, 0.04, 0.08), figure(0.02, 0.005, 0.035)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_repository(tmp_path_factory.mktemp("git") / "own", {"a.py": "import os\n"})
    for i in range(2):
        lines = f"def {SECRET}_{i}(handy_mo):\n    other = handy_mo + {i}\n    return other\n"
        commit_files(path, {f"m{i}.py": lines})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking_folder(tmp_path_factory.mktemp("model"))


def plan_of(repository: Path, model: Path, *, revisions: str = "HEAD~2..HEAD") -> TunePlan:
    """A plan whose base and serving model are the same."""
    first, _, last = revisions.partition("..")
    split = dataclasses.replace(made_plan().split, developed_to=first, judged_to=last)
    ref = ModelRef(path=str(model), content_hash=load_folder(model).content_hash)
    return made_plan(
        root=str(repository), base=ref, serving=ref, split=split, options=TuneOptions(n_tasks=4)
    )


@pytest.mark.slow
def test_model_against_itself_gains_nothing_and_is_not_promoted(
    repository: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(repository, model)
    judgement = judge_models(plan, model, GENERAL, tmp_path)
    assert not judgement["promoted"]
    assert "0.0% fewer bits" in " ".join(judgement["reasons"])
    for has_index in (True, False):
        assert find_gain(judgement["report"], "exact", has_index=has_index)["mean"] == 0.0
    assert judgement["scores"]["exact_base_on"] == judgement["scores"]["exact_tuned_on"]
    assert judgement["scores"]["bits_base"] == judgement["scores"]["bits_tuned"] > 1
    progress = capsys.readouterr().err
    for what in ("cursors", "lines added later", "general code"):
        assert f"{what} " in progress
    assert list(judgement["report"]["replay"]["systems"]) == [
        system_name(name, has_index=has_index)
        for has_index in (True, False)
        for name in ("tuned", "base")
    ]
    assert judge_models(plan, model, GENERAL, tmp_path)["scores"] == judgement["scores"]

    shown = format_report(judgement["report"])
    assert "the base stays" in shown
    assert "base + index" in shown
    for text in (shown, json.dumps(judgement["report"])):
        assert SECRET not in text
        assert "handy" not in text


@pytest.mark.slow
def test_general_code_is_compared_with_the_general_model(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    other = tiny_folder(tmp_path)
    general_base = ModelRef(path=str(other), content_hash=load_folder(other).content_hash)
    plan = dataclasses.replace(plan_of(repository, model), base=general_base)
    report = judge_models(plan, model, GENERAL, tmp_path)["report"]
    assert report["bits"]["general"]["base"] != report["bits"]["general"]["tuned"]
    assert report["bits"]["later"]["base"] == report["bits"]["later"]["tuned"]
    assert f"general code (base: {tiny_info().name})" in format_report(report)


@pytest.mark.slow
def test_interrupt_decides_nothing(
    repository: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(Progress):
        def show(self, *_: object, **_named: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "Progress", Stopping)
    with pytest.raises(KeyboardInterrupt):
        judge_models(plan_of(repository, model), model, GENERAL, tmp_path)


def test_range_without_commits_is_the_callers_mistake(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    plan = plan_of(repository, model, revisions="HEAD..HEAD")
    with pytest.raises(ReplayError):
        judge_models(plan, model, GENERAL, tmp_path)


def decision(
    *,
    later_gain: Figure = LATER_GAIN,
    exact_gain: Figure = EXACT_GAIN,
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
    later |= {"gain": later_gain, "groups": later_commits}
    sides = {"left": "tuned + index", "right": "base + index", "metric": "exact"}
    replay = {
        "systems": {f"{name} + index": {"exact": {"mean": its}} for name, its in exact.items()},
        "differences": [sides | exact_gain],
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
        ({"exact_gain": figure(0.0, -0.01, 0.01)}, "more are required"),
        ({"later_gain": figure(0.009, 0.005, 0.02)}, "1.0% fewer are required"),
        ({"later_gain": figure(0.02, -0.001, 0.04)}, "this may be chance"),
        ({"later_gain": figure(0.02, 0.0, 0.04)}, "this may be chance"),
        ({"exact_gain": figure(0.0, -0.021, 0.02)}, "no lower end below -2.0 points"),
        ({"exact_gain": figure(-0.001, -0.01, 0.01)}, "more are required"),
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
        later_gain=figure(-0.1, -0.2, 0.0),
        exact_gain=figure(-0.1, -0.2, 0.0),
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
