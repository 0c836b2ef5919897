"""Which commits are replayed, what each changed, and what is said where there is none."""

import random
from pathlib import Path

import pytest

from assistant.git import GitError
from tests.repositories import commit_files, new_repository, plain_git
from training.evaluation.replay.history import Commit, Hunk, ReplayError, changes, later_commits


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "lib", {"a.py": "one\ntwo\nthree\n", "b.py": "x = 1\n" * 9})


def head(repository: Path, revision: str = "HEAD") -> str:
    return plain_git(repository, "rev-parse", revision).strip()


def only_change(repository: Path) -> list[tuple[str, str, list[Hunk]]]:
    commit = later_commits(repository)[-1]
    return [
        (
            change.status,
            change.path,
            list(change.hunks),
        )
        for change in changes(repository, commit)
    ]


def test_last_fifth_of_a_long_history_oldest_first(repository: Path) -> None:
    tree = head(repository, "HEAD^{tree}")
    ids = [head(repository)]
    for _ in range(60):
        message = ("-m", "nothing changes", "-p", ids[-1])
        ids.append(plain_git(repository, "commit-tree", tree, *message).strip())
    plain_git(repository, "reset", "-q", ids[-1])
    later = later_commits(repository)
    assert [commit.id for commit in later] == ids[-12:]
    assert [commit.parent for commit in later] == ids[-13:-1]


def test_short_history_gives_at_least_ten_and_never_the_root(repository: Path) -> None:
    for number in range(12):
        commit_files(repository, {"c.py": f"number = {number}\n"})
    assert len(later_commits(repository)) == 10
    assert len(later_commits(repository, "HEAD")) == 12


def test_merge_is_one_commit_with_all_that_it_brought(repository: Path) -> None:
    main = head(repository)
    plain_git(repository, "checkout", "-q", "-b", "topic")
    commit_files(repository, {"d.py": "d = 1\n"})
    commit_files(repository, {"e.py": "e = 1\n"})
    plain_git(repository, "checkout", "-q", "main")
    plain_git(repository, "merge", "-q", "--no-ff", "-m", "merge", "topic")
    (commit,) = later_commits(repository)
    assert (commit.id, commit.parent) == (head(repository), main)
    assert [change.path for change in changes(repository, commit)] == ["d.py", "e.py"]


def test_hunks_are_lines_counted_from_zero(repository: Path) -> None:
    commit_files(repository, {"a.py": "zero\none\nTWO\nthree\nfour\nfive\n"})
    assert only_change(repository) == [
        ("M", "a.py", [(0, 0, 0, 1), (1, 2, 2, 3), (3, 3, 4, 6)]),
    ]


def test_added_deleted_renamed_retyped_and_oddly_named_files(repository: Path) -> None:
    (repository / "a.py").unlink()
    (repository / "b.py").rename(repository / "moved here.py")
    commit_files(repository, {'quote".py': "1\n2\n", "diff --git a b.py": "@@ -1 +1 @@\n"})
    assert only_change(repository) == [
        ("D", "a.py", [(0, 3, 0, 0)]),
        ("A", "diff --git a b.py", [(0, 0, 0, 1)]),
        ("R", "moved here.py", []),
        ("A", 'quote".py', [(0, 0, 0, 2)]),
    ]


def test_link_in_place_of_a_file_is_no_text(repository: Path) -> None:
    (repository / "a.py").unlink()
    (repository / "a.py").symlink_to("b.py")
    commit_files(repository, {"c.py": "c = 1\n"})
    found = changes(repository, later_commits(repository)[-1])
    assert [(c.status, c.path, c.is_text) for c in found] == [
        ("T", "a.py", False),
        ("A", "c.py", True),
    ]


def test_commit_without_changes_has_none(repository: Path) -> None:
    commit_files(repository, {})
    assert only_change(repository) == []


def test_range_chooses_the_commits(repository: Path) -> None:
    plain_git(repository, "tag", "v1")
    commit_files(repository, {"c.py": "c = 1\n"})
    wanted = head(repository)
    plain_git(repository, "tag", "v2")
    commit_files(repository, {"c.py": "c = 2\n"})
    assert [commit.id for commit in later_commits(repository, "v1..v2")] == [wanted]


@pytest.mark.parametrize("revisions", ["--all", "-1", " ", "nowhere..HEAD"])
def test_bad_range_is_named(repository: Path, revisions: str) -> None:
    with pytest.raises(ReplayError, match=r"is not a range of commits|names no commits"):
        later_commits(repository, revisions)


def test_folder_without_git_is_told_apart(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ReplayError, match="is not a git repository"):
            later_commits(path)


def test_repository_without_commits_says_so(tmp_path: Path) -> None:
    plain_git(tmp_path, "init", "-q")
    with pytest.raises(ReplayError, match="has no commits yet"):
        later_commits(tmp_path)


def test_one_commit_is_no_history(repository: Path) -> None:
    with pytest.raises(ReplayError, match="has no history"):
        later_commits(repository)
    with pytest.raises(ReplayError, match=r"HEAD of .* has no history"):
        later_commits(repository, "HEAD")


def test_shallow_clone_is_told_how_to_mend_it(repository: Path, tmp_path: Path) -> None:
    commit_files(repository, {"c.py": "c = 1\n"})
    plain_git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(ReplayError, match="git fetch --unshallow"):
        later_commits(tmp_path / "shallow")


def test_broken_repository_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(ReplayError, match="is not a git directory"):
        later_commits(tmp_path)


def test_missing_commit_is_a_git_error(repository: Path) -> None:
    missing = Commit(id="1" * 40, parent=head(repository))
    with pytest.raises(GitError):
        changes(repository, missing)


@pytest.mark.parametrize("seed", range(3))
def test_outside_of_hunks_old_and_new_are_the_same(repository: Path, seed: int) -> None:
    dice = random.Random(seed)
    old = [f"line {dice.randrange(30)}" for _ in range(60)]
    commit_files(repository, {"c.py": "\n".join(old) + "\n"})
    new = list(old)
    for _ in range(12):
        start = dice.randrange(len(new))
        added = [f"new {dice.randrange(9)}" for _ in range(dice.randrange(4))]
        new[start : start + dice.randrange(4)] = added
    commit_files(repository, {"c.py": "\n".join(new)})
    (change,) = changes(repository, later_commits(repository)[-1])
    for hunk in reversed(change.hunks):
        old[hunk.old_start : hunk.old_end] = []
        new[hunk.new_start : hunk.new_end] = []
    assert len(change.hunks) > 3
    assert old == new
