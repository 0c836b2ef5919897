"""Folders appear whole, and nothing that is not ours is replaced."""

import os
from pathlib import Path

import pytest

from model.config import ConfigError
from training.data.folders import new_folder


def write(out: Path, text: str, *, replace: bool = False) -> None:
    with new_folder(out, marker="mark", replace=replace) as part:
        (part / "mark").write_text(text)


def test_folder_appears_with_its_content(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "out", "1")
    assert (tmp_path / "deep" / "out" / "mark").read_text() == "1"


def test_replacing_must_be_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "1")
    with pytest.raises(ConfigError, match="exists; --force replaces it"):
        write(out, "2")
    assert (out / "mark").read_text() == "1"
    write(out, "3", replace=True)
    assert (out / "mark").read_text() == "3"
    assert list(tmp_path.iterdir()) == [out]


def test_foreign_folder_file_or_link_is_never_replaced(tmp_path: Path) -> None:
    ours, foreign, file, link = (tmp_path / name for name in ("ours", "foreign", "file", "link"))
    write(ours, "1")
    foreign.mkdir()
    file.touch()
    link.symlink_to(ours)
    for out in (foreign, file, link):
        with pytest.raises(ConfigError, match="choose another folder"):
            write(out, "2", replace=True)
    assert (ours / "mark").read_text() == "1"


def test_folder_that_came_to_be_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        pytest.raises(ConfigError, match="exists"),
        new_folder(out, marker="mark", replace=False) as part,
    ):
        (part / "mark").write_text("late")
        out.mkdir()
        (out / "mark").write_text("early")
    assert (out / "mark").read_text() == "early"


def test_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="stop"),
        new_folder(tmp_path / "out", marker="mark", replace=False),
    ):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_deleted_but_not_what_is_being_written(
    tmp_path: Path,
) -> None:
    """Past failure (2026-11-29): each kill of a long command left its half corpus on the disk."""
    abandoned, alive = tmp_path / ".out.0a1b.tmp", tmp_path / ".out.2c3d.tmp"
    for folder in (abandoned, alive):
        folder.mkdir()
        (folder / "train.bin").write_text("half")
    for path in (abandoned / "train.bin", abandoned):
        os.utime(path, (0, 0))
    write(tmp_path / "out", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.2c3d.tmp", "out"]
