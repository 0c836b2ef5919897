"""A tuning from end to end, with a tiny network: what serves afterwards, and what is left."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from assistant.models.registry import ModelEntry, Registry, models_folder, repository_id
from model.folder import load_folder
from tests.doubles import names_in
from tests.histories import add_commits, judges, module, small_request
from training.evaluation.replay.history import ReplayError
from training.finetune import gather, steps
from training.finetune.errors import TuneError
from training.finetune.finish import Judges
from training.finetune.gather import NothingToDoError
from training.finetune.history_split import split_history
from training.finetune.judging.judging import Trial
from training.finetune.plan import TunePlan
from training.finetune.prepare import Request, make_plan, tune_folder
from training.finetune.session import Outcome, tune
from training.finetune.state import TuneState

pytestmark = pytest.mark.slow


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
    bits = outcome.result["training"]["bits"]
    assert min(bits[1:]) < 0.9 * bits[0]
    assert_tidy(outcome)


def assert_tidy(outcome: Outcome) -> None:
    """Only the result is left of a run, and all of it is its owner's alone."""
    folder = tune_folder(outcome.plan.repository_id)
    assert names_in(folder) == ["lock", "plan.json", "result.json"]
    for path in [folder, models_folder(), *models_folder().rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_model_that_is_not_better_is_not_kept_and_found_again(request_for: Request) -> None:
    first = tune(request_for, judges(promoted=False))
    assert served(request_for, first) is None
    assert Registry().entries() == []
    assert first.result["model"] is None
    again = tune(request_for, judges(promoted=False))
    assert (again.is_old, again.result) == (True, first.result)
    fresh = tune(request_for, judges(promoted=False), is_fresh=True)
    assert not fresh.is_old
    assert fresh.result["training"]["bits"] == first.result["training"]["bits"]


def test_pinned_choice_is_left_alone(request_for: Request) -> None:
    Registry().pin(repository_id(request_for.repository))
    outcome = tune(request_for, judges())
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


def nightly(request: Request) -> Request:
    options = dataclasses.replace(request.options, is_nightly=True)
    return dataclasses.replace(request, options=options)


def test_night_goes_on_from_the_last_model(
    request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tune(request_for, judges())
    with pytest.raises(NothingToDoError, match="still the newest commit"):
        tune(nightly(request_for), judges())
    add_commits(request_for.repository, [{f"pkg/new_{n}.py": module(300 + n)} for n in range(20)])
    monkeypatch.setattr(gather, "MIN_NIGHTLY_TOKENS", 10**6)
    for _ in range(2):  # the first leaves nothing that the second would go on with
        with pytest.raises(NothingToDoError, match="are worth a run"):
            tune(nightly(request_for), judges())
    monkeypatch.setattr(gather, "MIN_NIGHTLY_TOKENS", 500)
    second = tune(nightly(request_for), judges())
    [old, new] = Registry().entries()
    assert (second.plan.since, second.plan.start.content_hash) == (
        first.plan.split.trained_to, old.content_hash,
    )  # fmt: skip
    assert served(request_for, second) == Registry().place(new.name)
    assert load_folder(Registry().place(new.name)).info.parent == old.content_hash
    assert new.parent == old.parent == load_folder(request_for.base).content_hash
    assert second.result["texts"]["n_fresh"] < second.result["texts"]["n_files"]


def test_stopped_run_goes_on_although_commits_were_added(request_for: Request) -> None:
    def interrupted(state: TuneState, plan: TunePlan) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(request_for, Judges(refit=interrupted))
    add_commits(request_for.repository, [{"pkg/more.py": module(99)}] * 5)
    with pytest.raises(TuneError, match="another run of this repository was stopped"):
        tune(night_after_a_tuning(request_for), judges())
    outcome = tune(request_for, judges())
    assert outcome.plan.split.judged_to != split_history(request_for.repository).judged_to


def night_after_a_tuning(request: Request) -> Request:
    """A nightly request in a repository that has a tuned model from elsewhere."""
    copy = shutil.copytree(request.base, request.base.with_name("copy"))
    entry = ModelEntry(
        name="before-1",
        repository=repository_id(request.repository),
        root="",
        content_hash=load_folder(copy).content_hash,
        parent=load_folder(copy).content_hash,
        data_hash="",
        trained_to="0" * 40,
        created="",
        kind="full",
    )
    Registry().add(copy, entry)
    return nightly(request)


def test_refused_run_does_not_stand_in_the_way_of_the_next(
    request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "MIN_TOKENS", 10**6)
    with pytest.raises(TuneError, match="1000000 are needed"):
        tune(request_for, judges())
    monkeypatch.setattr(gather, "MIN_TOKENS", 1_000)
    add_commits(request_for.repository, [{"pkg/more.py": module(99)}] * 5)
    outcome = tune(request_for, judges())
    assert outcome.plan.split == split_history(request_for.repository)


def test_full_disk_is_refused(request_for: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "disk_bytes", lambda *_, **__: 1 << 60)
    with pytest.raises(TuneError, match="GB are free; make room"):
        tune(request_for, judges())


def test_commits_without_code_cannot_judge(request_for: Request) -> None:
    add_commits(request_for.repository, [{"notes.txt": str(n)} for n in range(30)])
    with pytest.raises(ReplayError, match="adds no code that can be judged"):
        tune(request_for, judges())


def test_second_process_is_refused(request_for: Request) -> None:
    plan = make_plan(request_for, Registry())
    with TuneState(tune_folder(plan.repository_id)):
        with pytest.raises(TuneError, match="another `foretype tune` works"):
            tune(request_for, judges())
