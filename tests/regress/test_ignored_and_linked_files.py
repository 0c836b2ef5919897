"""2026-11-29: files that git ignores, or that lie behind a link, were indexed; others were not.

Causes: the user's git configuration was blanked with the ignore file that it names; where git did
not answer, the folder was walked; a link was looked for only in the last part of a path; and the
files of submodules, of repositories inside repositories and of a project below a home folder kept
in git are in no listing of one `git ls-files`.
"""

import os
import time
from pathlib import Path

import pytest

from assistant.git import GitError
from assistant.index.builder import refresh
from assistant.index.files import list_files
from assistant.remote.payload import _find_reason
from tests.repositories import new_repository, plain_git

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and FIFOs")


@pytest.fixture
def home(private_home: Path) -> Path:
    """A home folder whose git configuration names an ignore file."""
    home = private_home / "home"
    (home / ".gitconfig").write_text("[core]\n\texcludesFile = ~/.ignored\n")
    (home / ".ignored").write_text("scratch_*\n")
    return home


@pytest.fixture
def root(home: Path) -> Path:
    root = new_repository(home / "r", {"a.py": "x = 1\n"})
    (root / "scratch_notes.py").write_text("secret = 1\n")
    return root


def test_the_users_own_ignore_file_counts(root: Path) -> None:
    assert set(list_files(root)) == {"a.py"}
    assert _find_reason(root / "scratch_notes.py", 0) == "git ignores the file"
    assert _find_reason(root / "a.py", 0) == ""


def test_a_repository_may_name_another_ignore_file_as_for_git(root: Path) -> None:
    plain_git(root, "config", "core.excludesFile", str(root / "none"))
    assert set(list_files(root)) == {"a.py", "scratch_notes.py"}


def test_gits_own_place_for_it_counts(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    home = private_home / "home"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("mine.py\n")
    root = new_repository(home / "r", {"a.py": ""})
    (root / "mine.py").write_text("")
    assert set(list_files(root)) == {"a.py"}
    assert _find_reason(root / "mine.py", 0) == "git ignores the file"


@pytest.mark.parametrize(
    "place", ["info/exclude", "HEAD", "index", "config", "objects/info/alternates", "refs/heads/x"]
)
def test_a_fifo_in_git_neither_stalls_nor_lets_ignored_files_in(root: Path, place: str) -> None:
    trap = root / ".git" / place
    trap.unlink(missing_ok=True)
    os.mkfifo(trap)
    started = time.monotonic()
    with pytest.raises(GitError, match="may wait for ever"):
        list_files(root)
    assert _find_reason(root / "a.py", 0) == "git cannot say whether it ignores the file"
    assert time.monotonic() - started < 30  # git itself would wait a minute


def test_an_ignore_file_that_is_a_fifo_is_refused(root: Path) -> None:
    os.mkfifo(root / "fifo")
    plain_git(root, "config", "core.excludesFile", str(root / "fifo"))
    with pytest.raises(GitError, match="not a regular file"):
        list_files(root)


def test_a_repository_that_git_refuses_is_not_walked(root: Path) -> None:
    (root / ".git" / "HEAD").unlink()
    with pytest.raises(GitError):
        list_files(root)


def test_without_git_on_the_machine_ignore_files_count(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".gitignore").write_text("*.log.py\nout2/\n")
    (root / "sub").mkdir()
    (root / "sub" / ".gitignore").write_text("!keep.log.py\n")
    (root / "out2").mkdir()
    for name in ("b.log.py", "out2/c.py", "sub/keep.log.py", "sub/d.log.py"):
        (root / name).write_text("")
    monkeypatch.setenv("PATH", str(root))
    found = {name for name in list_files(root) if name.endswith(".py")}
    assert found == {"a.py", "scratch_notes.py", "sub/keep.log.py"}


def test_what_is_behind_a_linked_folder_is_not_read(home: Path, root: Path, tmp_path: Path) -> None:
    keys = home / "keys"
    keys.mkdir()
    (keys / "mine.py").write_text("private = 1\n")
    (root / "lib").mkdir()
    (root / "lib" / "mine.py").write_text("public = 1\n")
    plain_git(root, "add", "-A")
    (root / "lib" / "mine.py").unlink()
    (root / "lib").rmdir()
    (root / "lib").symlink_to(keys)
    report = refresh(root, tmp_path / "index")
    assert report.left_out["unreadable"] == 1
    assert not any(b"private" in path.read_bytes()[::-1] for path in (tmp_path / "index").iterdir())


def test_submodules_and_repositories_inside_are_listed(root: Path) -> None:
    inner = new_repository(root / "sub", {"b.py": "", ".gitignore": "no.py\n"})
    (inner / "no.py").write_text("")
    plain_git(root, "add", "sub")  # as a submodule is
    new_repository(root / "clone", {"c.py": "", "deep/d.py": ""})
    new_repository(root / "clone" / "inner", {"e.py": ""})
    found = {name for name in list_files(root) if name.endswith(".py")}
    assert found == {"a.py", "sub/b.py", "clone/c.py", "clone/deep/d.py", "clone/inner/e.py"}


def test_another_worktree_of_the_repository_is_left_out(root: Path) -> None:
    plain_git(root, "worktree", "add", "-q", "-b", "other", "trees/other")
    assert "trees/other/a.py" not in list_files(root)
    assert "a.py" in list_files(root / "trees" / "other")


def test_a_project_below_a_home_kept_in_git_is_walked(private_home: Path) -> None:
    home = new_repository(private_home / "home" / "me", {".bashrc": ""})
    (home / ".git" / "info" / "exclude").write_text("*\n")
    (home / "work" / "project").mkdir(parents=True)
    (home / "work" / "project" / "a.py").write_text("")
    assert set(list_files(home / "work" / "project")) == {"a.py"}
    assert set(list_files(home)) == {".bashrc"}


def test_an_ignore_file_cannot_stop_the_walk(tmp_path: Path) -> None:
    """2026-11-30: one line of 25 stars kept the indexer at it for ever; names match by tries."""
    name = "a" * 200
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    (tmp_path / f"{name}.txt").write_text("")
    (tmp_path / ".gitignore").write_text(f"{'*a' * 25}*.py\n!{'*a' * 25}*\n")
    assert set(list_files(tmp_path)) == {".gitignore", f"{name}.txt"}


@pytest.mark.parametrize("named", ["/", "/usr", "\0", "x" * 3000, "../" * 50])
@pytest.mark.parametrize("file", [".git", ".git/commondir"])
def test_a_repository_names_no_folder_to_look_through(
    tmp_path: Path, file: str, named: str
) -> None:
    """2026-11-30: the whole disk was searched for FIFOs, at a key of the editor."""
    root = tmp_path / "r"
    if file == ".git":
        root.mkdir()
    else:
        new_repository(root, {})
    (root / "a.py").write_text("x = 1\n")
    (root / file).write_text(f"gitdir: {named}\n" if file == ".git" else f"{named}\n")
    with pytest.raises(GitError, match="is not a git directory"):
        list_files(root)
    assert _find_reason(root / "a.py", 0) == "git cannot say whether it ignores the file"


@pytest.mark.parametrize("name", ["loop/a.py", "a" * 5000, "\udcff.py"])
def test_a_name_that_no_file_has_is_not_sent(tmp_path: Path, name: str) -> None:
    """2026-11-30: pathlib's errors about such names ended the request."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "not saved yet" in _find_reason(tmp_path / name, 0)


def test_a_linked_ignore_file_counts_as_little_as_for_git(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("*.py\n")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "a.py").write_text("")
    (tmp_path / "r" / ".gitignore").symlink_to(tmp_path / "elsewhere")
    assert set(list_files(tmp_path / "r")) == {"a.py"}
