"""The 2x2 on a small repository, with real folders whose weights say what will come of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import tiny_folder, tiny_info
from tests.repositories import commit_files, new_repository
from tests.scripted import speaking_folder
from tests.training.evaluation.replay.scripted_systems import judged, stratum
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.metrics import Asked
from training.finetune.judging.judging import Trial, half_difference, judge, system_name
from training.finetune.judging.progress import Phases
from training.finetune.judging.report_html import page
from training.finetune.judging.report_text import table

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


def trial(repository: Path, model: Path, folder: Path, **changed: Any) -> Trial:
    given = Trial(
        base=model,
        tuned=model,
        general_base=model,
        repository=repository,
        revisions="HEAD~2..HEAD",
        general=GENERAL,
        folder=folder,
        n_tasks=4,
    )
    return dataclasses.replace(given, **changed)


def quiet(what: str, done: int, total: int) -> None:
    """Say nothing."""


@pytest.mark.slow
def test_model_against_itself_gains_nothing_and_is_not_promoted(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    steps: list[tuple[str, int, int]] = []
    verdict = judge(trial(repository, model, tmp_path), lambda *step: steps.append(step))
    assert not verdict.promoted
    assert "0.0% fewer bits" in " ".join(verdict.reasons)
    assert {each["mean"] for each in verdict.report["gains"]} == {0.0}
    assert verdict.scores["exact_base_on"] == verdict.scores["exact_tuned_on"]
    assert verdict.scores["bits_base"] == verdict.scores["bits_tuned"] > 1
    assert {what for what, _, _ in steps} == {"cursors", "lines added later", "general code"}
    assert all(0 < done <= total for _, done, total in steps)
    assert list(verdict.report["replay"]["systems"]) == [
        system_name(name, memory=memory) for memory in (True, False) for name in ("tuned", "base")
    ]
    again = judge(trial(repository, model, tmp_path), quiet)
    assert again.scores == verdict.scores

    shown = table(verdict.report)
    assert "the base stays" in shown
    assert "base + memory" in shown
    html = page(verdict.report)
    assert html.count("<svg") > 5
    for text in (shown, html, json.dumps(verdict.report)):
        assert SECRET not in text
        assert "handy" not in text


@pytest.mark.slow
def test_general_code_is_held_against_the_general_model(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    report = judge(
        trial(repository, model, tmp_path, general_base=tiny_folder(tmp_path)), quiet
    ).report
    assert report["bits"]["general"]["base"] != report["bits"]["general"]["tuned"]
    assert report["bits"]["later"]["base"] == report["bits"]["later"]["tuned"]
    assert f"general code (base: {tiny_info().name})" in table(report)


@pytest.mark.slow
def test_interrupt_decides_nothing(repository: Path, model: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(trial(repository, model, tmp_path), stop)


def test_range_without_commits_is_the_callers_mistake(
    repository: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReplayError):
        judge(trial(repository, model, tmp_path, revisions="HEAD..HEAD"), quiet)


def asked(*pairs: tuple[str, float]) -> list[Asked]:
    """Two systems: left says what is given, right is always wrong and equally sure."""
    return [
        Asked(
            stratum=stratum(commit=str(i)),
            judged={
                "left": judged(text, "truth", probability),
                "right": judged("wrong", "truth", probability),
            },
        )
        for i, (text, probability) in enumerate(pairs)
    ]


def test_surer_half_is_each_systems_own() -> None:
    items = asked(("truth", 0.9), ("truth", 0.8), ("wrong", 0.2), ("wrong", 0.1))
    found = half_difference(items, "left", "right")
    assert found is not None
    assert found.mean == 1.0


def test_half_that_is_not_offered_is_not_judged() -> None:
    assert half_difference(asked(("truth", 0.9), ("", 0.0), ("", 0.0)), "left", "right") is None


def test_progress_has_a_line_for_each_kind_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    show = Phases()
    for what in ("cursors", "general code"):
        show(what, 1, 2)
        show(what, 2, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" took")[0] for line in lines] == [
        "cursors 2/2 (100%)",
        "general code 2/2 (100%)",
    ]
