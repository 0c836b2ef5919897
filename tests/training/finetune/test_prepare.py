"""From a request to a plan: which model begins, which is to be beaten, what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest

from assistant.models.registry import ModelEntry, ModelsError, Registry, repository_id
from model.folder import load_folder
from tests.doubles import tiny_folder
from tests.histories import add_commits, growing_history, small_request
from tests.repositories import plain_git
from training.evaluation.replay.history import ReplayError
from training.finetune.errors import TuneError
from training.finetune.prepare import Request, has_commits, make_plan


def nightly(request: Request) -> Request:
    return dataclasses.replace(
        request, options=dataclasses.replace(request.options, is_nightly=True)
    )


def tuned(request: Request, tmp_path: Path, name: str = "tuned-1", **changes: str) -> ModelEntry:
    """List a model as a tuning would have."""
    folder = tiny_folder(tmp_path, name=name, seed=5)
    fields = {
        "name": name,
        "repository": repository_id(request.repository),
        "root": str(request.repository),
        "content_hash": load_folder(folder).content_hash,
        "parent": load_folder(request.base).content_hash,
        "data_hash": "ab" * 32,
        "trained_to": "0" * 40,
        "created": "2026-11-22T10:00:00+00:00",
        "kind": "full",
    }
    return Registry().add(folder, ModelEntry(**(fields | changes)))  # type: ignore[arg-type]


@pytest.fixture
def request_for(tmp_path: Path) -> Request:
    return small_request(tmp_path)


def test_first_plan_begins_with_the_base(request_for: Request) -> None:
    plan = make_plan(request_for, Registry())
    assert plan.base == plan.start == plan.serving
    assert plan.base.path == str(request_for.base)
    assert (plan.since, plan.repository_id) == ("", repository_id(request_for.repository))
    assert plan.name.startswith("project-")


def test_what_serves_is_to_be_beaten(request_for: Request, tmp_path: Path) -> None:
    entry = tuned(request_for, tmp_path)
    Registry().use(entry.name, entry.repository)
    plan = make_plan(request_for, Registry())
    assert plan.start == plan.base
    assert plan.serving.content_hash == entry.content_hash


def test_night_goes_on_from_what_serves(request_for: Request, tmp_path: Path) -> None:
    entry = tuned(request_for, tmp_path)
    Registry().use(entry.name, entry.repository)
    plan = make_plan(nightly(request_for), Registry())
    assert plan.start == plan.serving
    assert (plan.start.content_hash, plan.since) == (entry.content_hash, entry.trained_to)


def test_night_goes_on_from_the_newest_if_none_serves(request_for: Request, tmp_path: Path) -> None:
    entry = tuned(request_for, tmp_path)
    plan = make_plan(nightly(request_for), Registry())
    assert plan.start.content_hash == entry.content_hash
    assert plan.serving == plan.base


def test_first_night_without_a_tuned_model_is_refused(request_for: Request) -> None:
    with pytest.raises(TuneError, match="without --nightly first"):
        make_plan(nightly(request_for), Registry())


def test_night_after_another_base_is_refused(request_for: Request, tmp_path: Path) -> None:
    tuned(request_for, tmp_path, parent="cd" * 32)
    with pytest.raises(TuneError, match="was tuned from another base"):
        make_plan(nightly(request_for), Registry())


def test_shallow_clone_is_refused(request_for: Request, tmp_path: Path) -> None:
    source = f"file://{request_for.repository}"
    plain_git(tmp_path, "clone", "-q", "--bare", "--depth", "1", source, "shallow")
    request = dataclasses.replace(request_for, repository=tmp_path / "shallow")
    with pytest.raises((ReplayError, ModelsError), match="git fetch --unshallow"):
        make_plan(request, Registry())


def test_commits_of_a_plan_are_looked_for(request_for: Request, tmp_path: Path) -> None:
    plan = make_plan(request_for, Registry())
    add_commits(request_for.repository, [{"new.py": "x = 1\n"}])
    assert has_commits(request_for.repository, plan)
    other = growing_history(tmp_path / "other", 3)
    assert not has_commits(other, plan)
    assert not has_commits(tmp_path, plan)


def test_plan_is_read_as_written(request_for: Request) -> None:
    plan = make_plan(request_for, Registry())
    assert plan.from_table(json.loads(json.dumps(plan.to_table()))) == plan
