"""The 2x2 on a small repository, with real folders whose weights say what will come of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from model.folder import load_folder
from tests.doubles import tiny_folder, tiny_info
from tests.histories import made_plan
from tests.repositories import commit_files, new_repository
from tests.scripted import speaking_folder
from training.data.progress import Progress
from training.evaluation.replay import run
from training.evaluation.replay.history import ReplayError
from training.finetune.judge import find_gain, judge_models, system_name
from training.finetune.plan import ModelRef, TuneOptions, TunePlan
from training.finetune.report import format_report

SECRET = "unheard_of_name"
GENERAL = [("lib.py", "def handy():\n    return 1\n")]


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
        def show(self, done: int, note: str = "", *, last: bool = False) -> None:
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
