"""Where indexes are kept, and which of them go."""

import hashlib
import os
import threading
import time
from pathlib import Path

from assistant.index.reader import FILE_NAME, open_view, version_of
from assistant.index.segment import FileContent, SegmentEntry
from assistant.index.writer import IndexWriter, index_folder, indexes_folder, prune
from model.paths import is_ours


def put(writer: IndexWriter, **texts: str) -> None:
    """Add these files and commit."""
    entries = [(SegmentEntry(f"{name}.py", 1, 1, ""), text) for name, text in texts.items()]
    writer.add([FileContent(entry, text.encode()) for entry, text in entries], "repo")
    writer.commit()


def test_each_folder_has_an_index_of_its_own(tmp_path: Path, private_home: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert index_folder(tmp_path / "a") == index_folder(tmp_path / "link")
    assert index_folder(tmp_path / "a") != index_folder(tmp_path)
    assert index_folder(tmp_path).is_relative_to(private_home / "cache")
    assert index_folder(Path("/")).name == hashlib.sha256(b"/").hexdigest()[:32]


def test_indexes_of_folders_that_are_gone_or_long_unused_are_deleted(tmp_path: Path) -> None:
    folders = {}
    for name in ("kept", "gone", "old", "quiet"):
        (tmp_path / name).mkdir()
        folders[name] = index_folder(tmp_path / name)
        with IndexWriter(folders[name], root=str(tmp_path / name)) as writer:
            put(writer, a="one\n")
    (tmp_path / "gone").rmdir()
    for name, n_hours in (("old", 90 * 24 + 1), ("quiet", 90 * 24 - 1)):
        then_s = time.time() - n_hours * 3600
        os.utime(folders[name] / FILE_NAME, (then_s, then_s))
    (indexes_folder() / "stray").write_text("not an index")
    (indexes_folder() / "0").mkdir()
    with IndexWriter(indexes_folder() / "1") as writer:  # of no folder
        put(writer, a="one\n")
    prune()
    assert [name for name, folder in folders.items() if folder.exists()] == ["kept", "quiet"]
    assert (indexes_folder() / "0").exists() and (indexes_folder() / "1").exists()


def test_an_index_keeps_its_root_and_is_not_written_without_need(tmp_path: Path) -> None:
    folder = index_folder(tmp_path)
    with IndexWriter(folder, root="/somewhere") as writer:
        put(writer, a="one\n")
    assert is_ours(indexes_folder())
    before = version_of(folder)
    with IndexWriter(folder) as writer:
        writer.commit()
        assert version_of(folder) == before
        put(writer, b="two\n")
    assert version_of(folder) != before
    assert open_view(folder).manifest.root == "/somewhere"
    assert not [each for each in threading.enumerate() if each.name.startswith("index-sort")]
