"""From a request to a plan: where a history is cut, what decides a tuning, what is refused."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from assistant.models.registry import ModelEntry, ModelsError, Registry, repository_id
from model.config import PRESETS, from_table
from model.folder import load_folder
from tests.doubles import tiny_config, tiny_folder
from tests.histories import add_commits, growing_history, made_plan, small_request
from tests.repositories import new_repository, plain_git
from training.errors import TuneError
from training.evaluation.replay.history import ReplayError, later_commits
from training.finetune.plan import (
    LORA_RANK,
    MAX_LATER,
    MIN_COMMITS,
    ModelRef,
    TuneOptions,
    TunePlan,
    TuneRequest,
    estimate_disk_bytes,
    lora_rank,
    make_plan,
    split_history,
)


def with_commits(path: Path, n_commits: int) -> Path:
    """A repository with so many commits after its first, from one import."""
    new_repository(path, {"a.py": "x = 0\n"})
    lines = ["reset refs/heads/main", "from refs/heads/main^0", ""]
    for number in range(n_commits):
        lines += ["commit refs/heads/main", f"committer A <a@example.org> {number} +0000"]
        lines += ["data 1", "c", ""]
    source = path / ".git" / "stream"
    source.write_text("\n".join(lines) + "\n")
    with source.open() as stream:
        import_stream(path, stream.read())
    return path


def import_stream(path: Path, stream: str) -> None:
    subprocess.run(
        ["git", "-C", str(path), "fast-import", "--quiet"], input=stream, text=True, check=True
    )


def test_later_commits_are_split_in_order(tmp_path: Path) -> None:
    repository = with_commits(tmp_path / "r", 60)
    ids = [commit.id for commit in later_commits(repository, "HEAD")]
    split = split_history(repository)
    assert (split.n_trained, split.n_development, split.n_judged) == (48, 4, 8)
    assert (split.trained_to, split.developed_to, split.judged_to) == (ids[47], ids[51], ids[59])


def test_ranges_share_no_commit(tmp_path: Path) -> None:
    repository = with_commits(tmp_path / "r", MIN_COMMITS)
    split = split_history(repository)
    development = {commit.id for commit in later_commits(repository, split.development)}
    judged = {commit.id for commit in later_commits(repository, split.judged)}
    assert (len(development), len(judged)) == (split.n_development, split.n_judged) == (3, 7)
    assert not development & judged
    assert split.trained_to not in development | judged


def test_long_history_is_trained_up_to_recently(tmp_path: Path) -> None:
    repository = with_commits(tmp_path / "r", 5 * MAX_LATER + 500)
    split = split_history(repository)
    assert split.n_development + split.n_judged == MAX_LATER


def test_short_history_is_refused(tmp_path: Path) -> None:
    repository = with_commits(tmp_path / "r", MIN_COMMITS - 1)
    with pytest.raises(TuneError, match=f"has {MIN_COMMITS - 1} commits after its first"):
        split_history(repository)


def test_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="is not a git repository"):
        split_history(tmp_path)


def test_shallow_clone_is_refused(tmp_path: Path) -> None:
    repository = with_commits(tmp_path / "r", 3)
    plain_git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(ReplayError, match="git fetch --unshallow"):
        split_history(tmp_path / "shallow")


def test_new_commits_are_the_same_work() -> None:
    plan = made_plan()
    split = dataclasses.replace(plan.split, trained_to="z")
    assert plan.is_same_work(made_plan(split=split, root="/q", name="q-1"))


def test_other_options_or_base_are_other_work() -> None:
    other = ModelRef(path="/b", content_hash="ef")
    assert not made_plan().is_same_work(made_plan(options=TuneOptions(n_epochs=1)))
    assert not made_plan().is_same_work(made_plan(serving=other))


def test_large_bases_get_adapters() -> None:
    assert lora_rank(TuneOptions(), tiny_config()) == 0
    assert lora_rank(TuneOptions(), PRESETS["qwen2.5-coder-0.5b"]) == LORA_RANK
    assert lora_rank(TuneOptions(lora_rank=8), tiny_config()) == 8


def test_disk_estimate_covers_checkpoints() -> None:
    config = PRESETS["s"]
    assert (
        estimate_disk_bytes(config, n_tokens=10**6, n_epochs=3, rank=0) > 3 * 12 * config.n_params
    )


@pytest.fixture
def request_for(tmp_path: Path) -> TuneRequest:
    return small_request(tmp_path)


def test_first_plan_begins_with_the_base(request_for: TuneRequest) -> None:
    plan = make_plan(request_for, Registry())
    assert plan.base == plan.serving
    assert plan.base.path == str(request_for.base)
    assert plan.repository_id == repository_id(request_for.repository)
    assert plan.name.startswith("project-")


def test_what_serves_is_to_be_beaten(request_for: TuneRequest, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, name="tuned-1", seed=5)
    entry = ModelEntry(
        name="tuned-1",
        repository=repository_id(request_for.repository),
        root=str(request_for.repository),
        content_hash=load_folder(folder).content_hash,
        parent=load_folder(request_for.base).content_hash,
        data_hash="ab" * 32,
        trained_to="0" * 40,
        created="2026-11-22T10:00:00+00:00",
        kind="full",
    )
    Registry().use(Registry().add(folder, entry).name, entry.repository)
    plan = make_plan(request_for, Registry())
    assert plan.base.path == str(request_for.base)
    assert plan.serving.content_hash == entry.content_hash


def test_plan_of_a_shallow_clone_is_refused(request_for: TuneRequest, tmp_path: Path) -> None:
    source = f"file://{request_for.repository}"
    plain_git(tmp_path, "clone", "-q", "--bare", "--depth", "1", source, "shallow")
    request = dataclasses.replace(request_for, repository=tmp_path / "shallow")
    with pytest.raises((ReplayError, ModelsError), match="git fetch --unshallow"):
        make_plan(request, Registry())


def test_commits_of_a_plan_are_looked_for(request_for: TuneRequest, tmp_path: Path) -> None:
    plan = make_plan(request_for, Registry())
    add_commits(request_for.repository, [{"new.py": "x = 1\n"}])
    assert plan.has_commits()
    other = growing_history(tmp_path / "other", 3)
    for moved in (other, tmp_path):
        assert not dataclasses.replace(plan, root=str(moved)).has_commits()


def test_plan_is_read_as_written(request_for: TuneRequest) -> None:
    plan = make_plan(request_for, Registry())
    assert from_table(TunePlan, json.loads(json.dumps(dataclasses.asdict(plan)))) == plan
