"""Files and folders appear whole or not at all, and only in the place of their like."""

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from model.publish import LEFTOVERS, delete, publish_folder, write_atomically


def names_in(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_write_replaces_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


def test_written_file_is_private_unless_told(tmp_path: Path) -> None:
    write_atomically(tmp_path / "private", b"")
    write_atomically(tmp_path / "public", b"", mode=0o644)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_file_that_is_read_right_now_is_replaced_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where nobody can replace a file that is open."""
    tries: list[Path] = []
    replace = Path.replace

    def replace_third_time(self: Path, target: Path) -> Path:
        tries.append(self)
        if len(tries) < 3:
            raise PermissionError(13, "in use", str(target))
        return replace(self, target)

    monkeypatch.setattr("model.publish._BUSY_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(Path, "replace", replace_third_time)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


def test_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):  # a file cannot replace a folder
        write_atomically(target, b"new")
    assert names_in(tmp_path) == ["folder"]


def test_writing_into_a_missing_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"")


def test_a_second_write_is_not_seen_through_an_open_handle(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"first")
    with path.open("rb") as reader:
        write_atomically(path, b"second")
        assert reader.read() == b"first"


def publish(path: Path, text: str, **options: bool) -> None:
    with publish_folder(path, **options) as aside:  # type: ignore[arg-type]
        (aside / "deep").mkdir()
        (aside / "deep" / "file").write_text(text)
        assert names_in(path.parent) == sorted({aside.name, *(["out"] if path.exists() else [])})


def test_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    out = tmp_path / "parent" / "out"
    for text in ("old", "new"):
        publish(out, text)
        assert (out / "deep" / "file").read_text() == text
        assert names_in(out.parent) == ["out"]
        assert stat.S_IMODE(out.stat().st_mode) == 0o700


def test_failed_block_leaves_the_older_folder(tmp_path: Path) -> None:
    publish(tmp_path / "out", "old")
    with pytest.raises(OSError, match="full"), publish_folder(tmp_path / "out") as aside:
        (aside / "file").write_text("half")
        raise OSError("full")
    assert names_in(tmp_path) == ["out"]
    assert (tmp_path / "out" / "deep" / "file").read_text() == "old"


def test_folder_is_replaced_only_if_it_may_be(tmp_path: Path) -> None:
    publish(tmp_path / "out", "old")
    with pytest.raises(OSError, match="not empty"):
        publish(tmp_path / "out", "new", replace=False)
    assert (tmp_path / "out" / "deep" / "file").read_text() == "old"
    assert names_in(tmp_path) == ["out"]


def test_file_in_the_way_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="delete what is there"):
        publish(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize("event", ["os.rename", "shutil.rmtree"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_killed_at_any_step_leaves_the_old_the_new_or_none(
    tmp_path: Path, event: str, count: int
) -> None:
    publish(tmp_path / "out", "old")
    child = os.fork()
    if child == 0:
        try:
            _publish_until(tmp_path / "out", event, count)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    left = names_in(tmp_path)
    if "out" in left:
        assert (tmp_path / "out" / "deep" / "file").read_text() in ("old", "new")
    for pattern in LEFTOVERS:
        for path in tmp_path.glob(pattern):
            delete(path)
    assert set(names_in(tmp_path)) <= {"out"}
    publish(tmp_path / "out", "newest")


def _publish_until(path: Path, event: str, count: int) -> None:
    """Be killed at the `count`-th event of a kind."""
    left = [count]

    def kill(seen: str, _: object) -> None:
        left[0] -= seen == event
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    publish(path, "new")


def test_deleting_a_link_leaves_what_it_names(tmp_path: Path) -> None:
    publish(tmp_path / "out", "mine")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for name in ("link", "never"):
        delete(tmp_path / name)
    assert names_in(tmp_path) == ["out"]
    delete(tmp_path / "out")
    assert names_in(tmp_path) == []
