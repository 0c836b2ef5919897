"""A tuning from end to end, with a tiny network: what serves afterwards, and what is left."""

from pathlib import Path

import pytest

from assistant.models.registry import Registry, models_folder, repository_id
from model.folder import copy_folder, load_folder, save_folder
from tests.doubles import (
    names_in,
    random_tensors,
    tiny_config,
    tiny_folder,
    tiny_info,
    tiny_tokenizer_json,
)
from tests.histories import SCORES, add_commits, module, scripted_tuner, small_request
from tests.training.finetune.test_describe import PLAN, RESULT
from training.errors import TuneError
from training.evaluation.replay.history import ReplayError
from training.finetune import session, texts
from training.finetune.plan import TunePlan, TuneState, make_plan, split_history
from training.finetune.report import format_card
from training.finetune.request import TuneRequest
from training.finetune.session import TuneOutcome, publish, tune_folder


@pytest.fixture
def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TuneRequest:
    monkeypatch.setattr(texts, "MIN_TOKENS", 1_000)
    monkeypatch.setattr(session, "MAX_BYTES", 2_000)
    return small_request(tmp_path)


def served(request: TuneRequest, outcome: TuneOutcome) -> Path | None:
    return Registry().find_folder(outcome.plan.repository_id)


@pytest.mark.slow
def test_better_model_serves_its_repository(request_for: TuneRequest) -> None:
    seen: list[TunePlan] = []
    outcome = scripted_tuner(seen=seen)(request_for)
    place = served(request_for, outcome)
    assert place is not None
    folder = load_folder(place)
    base = load_folder(request_for.base)
    assert folder.info.name == outcome.plan.name == "project-" + outcome.plan.name[8:]
    assert (folder.info.parent, folder.config) == (base.content_hash, base.config)
    assert folder.content_hash != base.content_hash
    assert seen == [outcome.plan]
    [entry] = Registry().entries()
    assert entry.trained_to == outcome.plan.split.trained_to
    assert (entry.parent, entry.kind) == (base.content_hash, "full")
    bits = outcome.result["training"]["bits"]
    assert min(bits[1:]) < 0.9 * bits[0]
    assert_tidy(outcome)


def assert_tidy(outcome: TuneOutcome) -> None:
    """Only the result is left of a run, and all of it is its owner's alone."""
    folder = tune_folder(outcome.plan.repository_id)
    assert names_in(folder) == ["lock", "plan.json", "result.json"]
    for path in [folder, models_folder(), *models_folder().rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.slow
def test_model_that_is_not_better_is_not_kept_and_found_again(request_for: TuneRequest) -> None:
    first = scripted_tuner(promoted=False)(request_for)
    assert served(request_for, first) is None
    assert Registry().entries() == []
    assert first.result["model"] is None
    again = scripted_tuner(promoted=False)(request_for)
    assert (again.is_old, again.result) == (True, first.result)
    fresh = scripted_tuner(promoted=False)(request_for, is_fresh=True)
    assert not fresh.is_old
    assert fresh.result["training"]["bits"] == first.result["training"]["bits"]


@pytest.mark.slow
def test_nothing_is_done_again_while_no_commit_is_new(request_for: TuneRequest) -> None:
    first = scripted_tuner()(request_for)
    again = scripted_tuner()(request_for)  # its own model serves now
    assert (again.is_old, again.result) == (True, first.result)


@pytest.mark.slow
def test_run_killed_after_its_model_serves_goes_on(
    request_for: TuneRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(state: TuneState, name: str, table: dict[str, object]) -> None:
        if name == session.RESULT:
            raise KeyboardInterrupt
        write(state, name, table)

    write = TuneState.write_table
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TuneState, "write_table", stop)
        scripted_tuner()(request_for)
    [entry] = Registry().entries()
    outcome = scripted_tuner()(request_for)
    assert outcome.result["model"]["name"] == entry.name
    assert Registry().entries() == [entry]


@pytest.mark.slow
def test_pinned_choice_is_left_alone(request_for: TuneRequest) -> None:
    Registry().pin(repository_id(request_for.repository))
    outcome = scripted_tuner()(request_for)
    assert served(request_for, outcome) is None
    assert [entry.name for entry in Registry().entries()] == [outcome.result["model"]["name"]]
    assert outcome.result["is_used"] is False


@pytest.mark.slow
def test_next_tuning_is_held_against_what_serves(request_for: TuneRequest) -> None:
    first = scripted_tuner()(request_for)
    add_commits(request_for.repository, [{"pkg/more.py": module(99)}] * 5)
    seen: list[TunePlan] = []
    second = scripted_tuner(seen=seen)(request_for)
    assert seen[0].serving.path == str(Registry().place(first.plan.name))
    assert second.plan.base == first.plan.base
    assert served(request_for, second) == Registry().place(second.plan.name)


@pytest.mark.slow
def test_too_little_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"tokens of code to learn from, 20000 are needed"):
        scripted_tuner()(small_request(tmp_path))


@pytest.mark.slow
def test_stopped_run_goes_on_although_commits_were_added(request_for: TuneRequest) -> None:
    def interrupt(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scripted_tuner(judge=interrupt)(request_for)
    add_commits(request_for.repository, [{"pkg/more.py": module(99)}] * 5)
    outcome = scripted_tuner()(request_for)
    assert outcome.plan.split.judged_to != split_history(request_for.repository).judged_to


@pytest.mark.slow
def test_refused_run_does_not_stand_in_the_way_of_the_next(
    request_for: TuneRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MIN_TOKENS", 10**6)
    with pytest.raises(TuneError, match="1000000 are needed"):
        scripted_tuner()(request_for)
    monkeypatch.setattr(texts, "MIN_TOKENS", 1_000)
    add_commits(request_for.repository, [{"pkg/more.py": module(99)}] * 5)
    outcome = scripted_tuner()(request_for)
    assert outcome.plan.split == split_history(request_for.repository)


@pytest.mark.slow
def test_full_disk_is_refused(request_for: TuneRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "estimate_disk_bytes", lambda *_, **__: 1 << 60)
    with pytest.raises(TuneError, match="GB are free; make room"):
        scripted_tuner()(request_for)


@pytest.mark.slow
def test_commits_without_code_cannot_judge(request_for: TuneRequest) -> None:
    add_commits(request_for.repository, [{"notes.txt": str(n)} for n in range(30)])
    with pytest.raises(ReplayError, match="adds no code that can be judged"):
        scripted_tuner()(request_for)


@pytest.mark.slow
def test_second_process_is_refused(request_for: TuneRequest) -> None:
    plan = make_plan(request_for, Registry())
    with TuneState(tune_folder(plan.repository_id)):
        with pytest.raises(TuneError, match="another `foretype tune` works"):
            scripted_tuner()(request_for)


@pytest.fixture
def state(tmp_path: Path) -> TuneState:
    """A tuning whose model is made."""
    state = TuneState(tmp_path / "s")
    save_folder(
        state.folder / "candidate", config=tiny_config(), tensors=random_tensors(tiny_config()),
        tokenizer_json=tiny_tokenizer_json(), info=tiny_info(), card="not judged",
        ranker={"n": [1]},
    )  # fmt: skip
    return state


def test_promoted_model_serves_with_its_card_and_ranker(state: TuneState) -> None:
    judged = load_folder(state.folder / "candidate")
    entry, is_used = publish(state, PLAN, RESULT, Registry())
    place = Registry().find_folder(PLAN.repository_id)
    assert place is not None
    folder = load_folder(place)
    assert (folder.content_hash, folder.ranker) == (judged.content_hash, {"n": [1]})
    assert (place / "README.md").read_text() == format_card(PLAN, RESULT)
    assert entry is not None
    assert is_used
    assert (entry.name, entry.scores) == (PLAN.name, SCORES)
    assert (entry.parent, entry.kind) == (PLAN.base.content_hash, "full")


def test_second_time_after_a_crash_lists_nothing_twice(state: TuneState) -> None:
    first = publish(state, PLAN, RESULT, Registry())
    assert publish(state, PLAN, RESULT, Registry()) == first  # killed before the result was written
    assert len(Registry().entries()) == 1


def test_model_of_the_same_name_is_left_alone(state: TuneState, tmp_path: Path) -> None:
    first, _ = publish(state, PLAN, RESULT, Registry())
    copy_folder(tiny_folder(tmp_path, seed=9), state.folder / "candidate")
    second, _ = publish(state, PLAN, RESULT, Registry())
    assert first is not None
    assert second is not None
    assert second.name != first.name


def test_refused_model_is_not_listed_and_leaves_no_graph_in_the_cache(
    state: TuneState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETYPE_CACHE", str(tmp_path / "cache"))
    content_hash = load_folder(state.folder / "candidate").content_hash
    graphs = tmp_path / "cache" / "graphs"
    for name in (f"{content_hash[:32]}-v1-8", f"{content_hash[:32]}-v1-32", "other-v1-8"):
        (graphs / name).mkdir(parents=True)
        (graphs / name / "weights.bin").write_bytes(b"private")
    refused = RESULT | {"verdict": {"promoted": False, "reasons": ["worse"]}}
    assert publish(state, PLAN, refused, Registry()) == (None, False)
    assert Registry().entries() == []
    assert [path.name for path in graphs.iterdir()] == ["other-v1-8"]
