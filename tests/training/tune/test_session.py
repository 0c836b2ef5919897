"""A tuning from end to end, with a tiny network: what serves afterwards, and what is left."""

from pathlib import Path

import pytest

from assistant.models.registry import Registry, models_folder
from model.folder import load_folder
from tests.doubles import names_in
from tests.histories import add_commits, judges, module, small_request
from training.tune import gather, steps
from training.tune.errors import TuneError
from training.tune.judging.judging import Trial
from training.tune.prepare import Request, tune_folder
from training.tune.session import Outcome, tune


@pytest.fixture
def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setattr(gather, "MIN_TOKENS", 1_000)
    monkeypatch.setattr(steps, "MAX_BYTES", 2_000)
    return small_request(tmp_path)


def served(request: Request, outcome: Outcome) -> Path | None:
    return Registry().chosen(outcome.plan.repository_id)


def test_better_model_serves_its_repository(request_for: Request) -> None:
    seen: list[Trial] = []
    outcome = tune(request_for, judges(seen=seen))
    place = served(request_for, outcome)
    assert place is not None
    folder = load_folder(place)
    base = load_folder(request_for.base)
    assert folder.info.name == outcome.plan.name == "project-" + outcome.plan.name[8:]
    assert (folder.info.parent, folder.config) == (base.content_hash, base.config)
    assert folder.content_hash != base.content_hash
    [trial] = seen
    assert (trial.base, trial.revisions) == (request_for.base, outcome.plan.split.judged)
    assert trial.general
    [entry] = Registry().entries()
    assert entry.trained_to == outcome.plan.split.trained_to
    assert (entry.parent, entry.kind) == (base.content_hash, "full")


def test_training_lowers_the_bits_of_later_lines(request_for: Request) -> None:
    bits = tune(request_for, judges()).result["training"]["bits"]
    assert min(bits[1:]) < 0.9 * bits[0]


def test_model_that_is_not_better_is_not_kept(request_for: Request) -> None:
    outcome = tune(request_for, judges(promoted=False))
    assert served(request_for, outcome) is None
    assert Registry().entries() == []
    assert outcome.result["model"] is None


def test_only_the_result_is_left_of_a_run(request_for: Request) -> None:
    outcome = tune(request_for, judges())
    folder = tune_folder(outcome.plan.repository_id)
    assert names_in(folder) == ["lock", "plan.json", "result.json"]
    for path in [folder, models_folder(), *models_folder().rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_tuned_before_is_found_again(request_for: Request) -> None:
    first = tune(request_for, judges(promoted=False))
    again = tune(request_for, judges(promoted=False))
    assert (again.is_old, again.result) == (True, first.result)
    fresh = tune(request_for, judges(promoted=False), is_fresh=True)
    assert not fresh.is_old
    assert fresh.result["training"]["bits"] == first.result["training"]["bits"]


def test_pinned_choice_is_left_alone(request_for: Request) -> None:
    outcome = tune(request_for, judges(promoted=False))
    Registry().pin(outcome.plan.repository_id)
    outcome = tune(request_for, judges(), is_fresh=True)
    assert served(request_for, outcome) is None
    assert [entry.name for entry in Registry().entries()] == [outcome.result["model"]["name"]]
    assert outcome.result["is_used"] is False


def test_next_tuning_is_held_against_what_serves(request_for: Request) -> None:
    first = tune(request_for, judges())
    add_commits(request_for.repository, [{"pkg/more.py": module(99)}] * 5)
    seen: list[Trial] = []
    second = tune(request_for, judges(seen=seen))
    assert seen[0].base == Registry().place(first.plan.name)
    assert second.plan.start == first.plan.start
    assert served(request_for, second) == Registry().place(second.plan.name)


def test_too_little_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"tokens of code to learn from, 20000 are needed"):
        tune(small_request(tmp_path), judges())
