"""Where a history is cut: in order, without overlap, and only if there is enough of it."""

import subprocess
from pathlib import Path

import pytest

from tests.repositories import new_repository, plain_git
from training.evaluation.replay.history import ReplayError, later_commits
from training.finetune.errors import TuneError
from training.finetune.history_split import MAX_LATER, MIN_COMMITS, split_history


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
