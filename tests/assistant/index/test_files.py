"""Which files of a folder count as its own, and which of them as source."""

import os
import sys
from pathlib import Path

import pytest

from assistant.index.files import decode_source, is_too_wide, list_files, max_bytes, rank
from tests.repositories import new_repository, plain_git

REST = b"x = 1\n" * 2_000


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("least", "more"),
    [
        (b"y" * 2_000 + b"\n" + REST, b"y" * 2_001 + b"\n" + REST),
        (b"y" * 160 + b"\n" + b"y" * 159, b"y" * 160 + b"\n" + b"y" * 160),
        (b"y\n" * 4_096 + b"\x01", b"y\n" * 4_095 + b"y\x01"),
        (b"\n" * 2_048 + b"# @generated", b"\n" * 2_036 + b"# @generated\n"),
        (b"\n" * 2_039 + b"@generated", b"\n" * 2_038 + b"@generated"),
        (b"\x1b[0m\x0c\ty\r\n", b"\x1bx\0"),
    ],
)
def test_source_is_told_from_what_nobody_wrote(least: bytes, more: bytes) -> None:
    assert decode_source(least) is not None
    assert decode_source(more) is None


def test_lines_end_in_one_way() -> None:
    assert decode_source(b"a\r\nb\rc\n") == "a\nb\nc\n"


def test_a_file_is_ranked_by_its_name() -> None:
    assert [rank(path) for path in ("a.py", "a.rb", "a.md", "a.png", "x/go.sum", "a.min.js")] == [
        0, 1, 2, None, None, None,
    ]  # fmt: skip
    assert [max_bytes(n) for n in (0, 1, 2)] == [1 << 19, 1 << 19, 1 << 16]


def test_a_home_or_a_disk_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "users" / "me"
    monkeypatch.setattr(Path, "home", lambda: home)
    for path in (home, home.parent, Path("/")):
        assert is_too_wide(path)
    for path in (home / "project", tmp_path / "users" / "you"):
        assert not is_too_wide(path)
    write(home, a_py="x", project__b_py="x")
    assert list_files(home) == {}
    assert [*list_files(home / "project")] == ["b.py"]


def test_repositories_in_repositories_are_listed_to_a_depth(tmp_path: Path) -> None:
    root = tmp_path / "r"
    for depth in range(11):
        place = root.joinpath(*"0123456789"[:depth])
        place.mkdir()
        (place / "a.py").write_text("x = 1\n")
        plain_git(place, "init", "-q")
    plain = root / "plain"
    write(plain, a_py="x")
    found = list_files(root)
    assert max(path.count("/") for path in found) == 8
    assert "plain/a.py" in found and len(found) == 10


def test_a_folder_that_git_ignores_as_a_whole_is_walked(tmp_path: Path) -> None:
    root = new_repository(tmp_path / "r", {".gitignore": "out/\n", "a.py": "x", "empty/b.txt": ""})
    write(root, out__c_py="x", out__deep__d_py="x", other__e_py="x")
    assert [*list_files(root / "out")] == ["c.py", "deep/d.py"]
    (root / "empty" / "b.txt").unlink()
    assert [*list_files(root / "empty")] == []
    assert sorted(list_files(root)) == [".gitignore", "a.py", "other/e.py"]


@pytest.mark.parametrize(("n_bytes", "is_read"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_ignore_files_are_read_up_to_a_size(tmp_path: Path, n_bytes: int, is_read: bool) -> None:
    write(tmp_path, a_py="x", b_py="x")
    (tmp_path / ".gitignore").write_text("a.py\n".ljust(n_bytes, "#"))
    assert ("a.py" not in list_files(tmp_path)) is is_read


def test_the_nearest_ignore_file_with_a_word_on_a_path_counts(tmp_path: Path) -> None:
    write(tmp_path, a_py="x", sub__a_py="x", sub__b_py="x", sub__deep__a_py="x", c__d_py="x")
    (tmp_path / ".gitignore").write_text("a.py\nc/\n")
    (tmp_path / "sub" / ".gitignore").write_text("!a.py\nb.py\n")
    (tmp_path / "sub" / "deep" / ".gitignore").write_text("other.py\n")
    names = [path for path in list_files(tmp_path) if path.endswith(".py")]
    assert names == ["sub/a.py", "sub/deep/a.py"]


def test_installed_and_built_folders_are_not_walked(tmp_path: Path) -> None:
    folders = (".git2", "Node_Modules", "x.egg-info", "x.dist-info", "build")
    for folder in (*folders, "src"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("x")
    assert [*list_files(tmp_path)] == ["src/a.py"]


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbfa.py\r\nd\xe9.py\r\n", b"# d\xe9j\xe0\na.py\nd\xe9.py"]
)
def test_ignore_files_are_read_as_git_reads_them(tmp_path: Path, text: bytes) -> None:
    names = (b"a.py", b"b.py", b"d\xe9.py")
    for name in names[: 2 if sys.platform in ("win32", "darwin") else 3]:
        (tmp_path / os.fsdecode(name)).write_text("x")
    (tmp_path / ".gitignore").write_bytes(text)
    assert [name for name in list_files(tmp_path) if name.endswith(".py")] == ["b.py"]
