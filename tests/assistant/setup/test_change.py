"""A user's file is changed whole, with a backup, and only if it is what was looked at."""

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.setup.change import (
    MAX_BACKUPS,
    Change,
    SetupError,
    read_config,
    with_block,
    without_block,
    write,
)


def test_new_file_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.lua"
    assert write(Change(path=path, before=None, after="x\n")) is None
    assert path.read_text() == "x\n"
    assert sorted(path.parent.iterdir()) == [path]


def test_old_text_is_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "init.el"
    path.write_text("old\r\n", newline="")
    path.chmod(0o600)
    backup = write(Change(path=path, before="old\r\n", after="new\n"))
    assert backup == tmp_path / "init.el.before-foretype"
    assert (backup.read_bytes(), path.read_bytes()) == (b"old\r\n", b"new\n")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (path, backup)} == {0o600}
    second = write(Change(path=path, before="new\n", after="newer\n"))
    assert second == tmp_path / "init.el.before-foretype-2"
    assert backup.read_bytes() == b"old\r\n"


def test_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "init.el"
    real.parent.mkdir()
    real.write_text("old")
    link = tmp_path / "init.el"
    link.symlink_to(real)
    backup = write(Change(path=link, before="old", after="new"))
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert backup is not None and backup.parent == real.parent


def test_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "init.el"
    path.write_text("newer")
    with pytest.raises(SetupError, match="has changed in the meantime"):
        write(Change(path=path, before="old", after="new"))
    with pytest.raises(SetupError, match="has changed in the meantime"):
        write(Change(path=path, before=None, after="new"))
    assert path.read_text() == "newer"
    assert [*tmp_path.iterdir()] == [path]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "init.el"
    assert read_config(path) is None
    path.write_bytes(b"\xff")
    with pytest.raises(SetupError, match=r"init\.el is not UTF-8 text"):
        read_config(path)
    with pytest.raises(SetupError, match="is not a regular file"):
        read_config(tmp_path)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot"):
        write(Change(path=tmp_path / "file" / "x", before=None, after="x"))


def test_backups_are_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    for number in range(1, MAX_BACKUPS + 1):
        (tmp_path / f"f.before-foretype{'' if number == 1 else f'-{number}'}").touch()
    with pytest.raises(SetupError, match="100 backups of f; remove some"):
        write(Change(path=path, before="old", after="new"))
    assert path.read_text() == "old"


def test_diff_shows_every_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    change = Change(path=path, before="a\nb", after="a\nc\n")
    assert change.diff() == f"--- {path}\n+++ {path}\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    assert Change(path=path, before=None, after="a\n").diff().startswith("--- /dev/null\n")


TEXTS = st.text(alphabet="ab;\n ", max_size=20) | st.sampled_from(
    ["a\r\nb\r\n", "a\r\n", "a\nb\r\n"]
)


@settings(max_examples=50)
@given(TEXTS, st.sampled_from(["(one)", "(two)\n(three)\n"]))
def test_block_is_put_in_once_and_taken_out_again(text: str, body: str) -> None:
    once = with_block(text, ";;", body)
    assert once.startswith(text)
    assert body.rstrip() in once.replace("\r\n", "\n")
    assert with_block(once, ";;", body) == once
    assert without_block(once, ";;").rstrip("\r\n") == text.rstrip("\r\n")


def test_older_block_is_replaced_where_it_is() -> None:
    old = with_block("a\n", "#", "x = 1") + "z\n"
    new = with_block(old, "#", "x = 2")
    assert new == old.replace("x = 1", "x = 2")


def test_carriage_returns_stay() -> None:
    text = with_block("a\r\n", "#", "x\ny")
    assert text.count("\r\n") == text.count("\n") == 6


@pytest.mark.parametrize("text", ["", "# >>> foretype >>>\nhalf\n"])
def test_half_a_block_is_the_users_text(text: str) -> None:
    assert without_block(text, "#") == text
