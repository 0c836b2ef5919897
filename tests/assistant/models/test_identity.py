"""A repository's id: the same wherever it is checked out, and different for every other one."""

from pathlib import Path

import pytest

from assistant.models.registry import ModelsError, repository_id, repository_root
from tests.repositories import commit_files, new_repository, plain_git


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("r") / "one", {"a.py": "x = 1\n"})


def test_stays_through_commits_moves_clones_and_worktrees(repository: Path, tmp_path: Path) -> None:
    before = repository_id(repository)
    commit_files(repository, {"b.py": "y = 2\n"})
    plain_git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    plain_git(tmp_path, "clone", "-q", str(repository), str(tmp_path / "clone"))
    (tmp_path / "clone").rename(tmp_path / "moved")
    for place in (repository, tmp_path / "tree", tmp_path / "moved"):
        assert repository_id(place) == before


def test_stays_when_another_history_is_merged_in(repository: Path, tmp_path: Path) -> None:
    plain_git(tmp_path, "clone", "-q", str(repository), str(tmp_path / "clone"))
    other = new_repository(tmp_path / "other", {"z.py": "z = 3\n"})
    assert repository_id(other) != repository_id(repository)
    plain_git(tmp_path / "clone", "fetch", "-q", str(other), "main")
    plain_git(
        tmp_path / "clone", "merge", "-q", "--allow-unrelated-histories", "-m", "join", "FETCH_HEAD"
    )
    assert repository_id(tmp_path / "clone") == repository_id(repository)


def test_without_a_known_first_commit_there_is_none(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    plain_git(tmp_path / "empty", "init", "-q")
    for place in (tmp_path, tmp_path / "empty"):
        with pytest.raises(ModelsError, match="no git history"):
            repository_id(place)
    commit_files(repository, {"c.py": ""})
    plain_git(
        tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), str(tmp_path / "shallow")
    )
    with pytest.raises(ModelsError, match="shallow clone"):
        repository_id(tmp_path / "shallow")


def test_root_is_found_from_inside(repository: Path, tmp_path: Path) -> None:
    inside = repository / "src" / "new.py"
    assert repository_root(inside) == repository.resolve() == repository_root(repository)
    assert repository_root(tmp_path / "a.py") is None
