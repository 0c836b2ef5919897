"""Git repositories and folders as lists of files."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.repositories import new_repository, plain_git
from training.data.sources import (
    SourceEntry,
    find_sources,
    names_to_check,
    normalise,
    open_source,
    refuse_namesakes,
)
from training.errors import TrainingError

FILES = {"a.py": "print('a')\n", "pkg/b.py": "b = 1\n", "naïve.py": "c = 2\n"}


def contents(path: Path, name: str = "", max_bytes: int = 1000) -> dict[str, bytes | None]:
    source = open_source(path, name)
    entries = source.entries()
    return {
        entry.path: content
        for entry, content in zip(entries, source.read(entries, max_bytes=max_bytes), strict=True)
    }


def test_work_tree_bare_repository_and_folder_hold_the_same_files(tmp_path: Path) -> None:
    tree = new_repository(tmp_path / "tree", FILES)
    plain_git(tmp_path, "clone", "-q", "--bare", str(tree), str(tmp_path / "bare"))
    folder = tmp_path / "folder"
    shutil.copytree(tree, folder, ignore=shutil.ignore_patterns(".git"))
    expected = {path: text.encode() for path, text in FILES.items()}
    assert contents(tree) == contents(tmp_path / "bare") == contents(folder) == expected


def test_commit_is_read_and_not_the_work_tree(tmp_path: Path) -> None:
    tree = new_repository(tmp_path / "tree", {"a.py": "old\n"})
    (tree / "a.py").write_text("new\n")
    assert contents(tree) == {"a.py": b"old\n"}
    assert open_source(tree).commit == plain_git(tree, "rev-parse", "HEAD").strip()


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
@pytest.mark.timeout(20)
def test_links_and_pipes_are_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.py").write_text("a = 1\n")
    (folder / "link.py").symlink_to("a.py")
    os.mkfifo(folder / "pipe.py")
    assert contents(folder) == {"a.py": b"a = 1\n"}
    source = open_source(folder)
    changed = [SourceEntry(path=path, n_bytes=1) for path in ("pipe.py", "link.py", "gone.py")]
    assert list(source.read(changed, max_bytes=10)) == [None] * 3  # changed after the listing
    plain_git(folder, "init", "-q")
    (folder / "pipe.py").unlink()
    plain_git(folder, "add", "-A")
    plain_git(folder, "commit", "-q", "-m", "first")
    assert contents(folder) == {"a.py": b"a = 1\n"}


def test_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("12345")
    assert contents(tmp_path, max_bytes=4) == {"a.py": None}


@pytest.mark.parametrize(
    ("folder", "url", "name"),
    [
        ("owner+name/repo", "https://host/other/thing.git", "owner/name"),
        ("owner+name", "", "owner/name"),
        ("clone", "https://host/owner/name.git", "owner/name"),
        ("clone", "git@host:owner/name", "owner/name"),
        ("clone", "/local/path/name", "clone"),
        ("clone", "", "clone"),
    ],
)
def test_name_comes_from_the_folder_or_the_remote(
    folder: str, url: str, name: str, tmp_path: Path
) -> None:
    path = new_repository(tmp_path / folder, {"a.py": "a\n"})
    if url:
        plain_git(path, "remote", "add", "origin", url)
    assert open_source(path).name == name
    assert open_source(path, "given/name").name == "given/name"


def test_sources_are_found_by_globs_and_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b+two", "a+one", "third-1.0"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    found = find_sources([f"{tmp_path}/*+*", f"{tmp_path}/fi*", f"c/three={tmp_path}/third-*"])
    assert [source.name for source in found] == ["a/one", "b/two", "c/three"]
    assert find_sources([f"{tmp_path}/a+one"] * 2) == found[:1]


def test_two_places_with_one_name_are_an_error(tmp_path: Path) -> None:
    for place in ("x", "y"):
        (tmp_path / place / "a+one").mkdir(parents=True)
    with pytest.raises(TrainingError, match="both a/one"):
        find_sources([f"{tmp_path}/*/a+one"])


def test_what_cannot_be_a_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not a folder"):
        open_source(tmp_path / "missing")
    plain_git(tmp_path, "init", "-q")
    with pytest.raises(TrainingError, match="has no commit to read"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("My_Lib", "my-lib"), ("a.b_-c", "a-b-c"), ("A/B.C", "a/b-c"), (" x ", "x"), ("a--b", "a-b")],
)
def test_names_are_compared_as_package_indexes_do(name: str, expected: str) -> None:
    assert normalise(name) == expected


@given(st.text(alphabet="aB1-_./", max_size=20))
def test_normal_name_is_a_fixed_point(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)
    assert normalise(name.swapcase()) == normalise(name)


def test_name_is_checked_with_and_without_its_version() -> None:
    assert names_to_check("My_Lib-1.2rc1") == ["my-lib-1-2rc1", "my-lib"]
    assert names_to_check("o/lib") == ["o/lib", "lib", "o/*"]


def test_repositories_of_one_name_are_not_taken_for_one() -> None:
    refuse_namesakes(["a", "b"])
    with pytest.raises(TrainingError, match="2 of the repositories are called a;"):
        refuse_namesakes(["a", "b", "a"])
