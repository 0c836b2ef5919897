"""One writer, many readers, and nothing that a kill, a full disk or damage can break."""

import dataclasses
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from assistant.index import segment as segment_module
from assistant.index import writer as store_module
from assistant.index.builder import build_from_texts
from assistant.index.folder_index import FolderIndex
from assistant.index.reader import FILE_NAME, Stamp, open_view, read_manifest
from assistant.index.segment import FileContent, Segment, SegmentEntry
from assistant.index.writer import (
    IndexBusyError,
    IndexWriter,
)
from tests.assistant.index.hammer import is_whole
from tests.programs import ROOT
from tests.rounds import count, shifted


def content(path: str, text: str) -> FileContent:
    return FileContent(SegmentEntry(path, len(text), 1, text[:8]), text.encode())


def put(writer: IndexWriter, **texts: str) -> None:
    """Set these files and commit."""
    writer.drop([f"{name}.py" for name in texts], "repo")
    writer.add([content(f"{name}.py", text) for name, text in texts.items()], "repo")
    writer.commit()


def texts_in(folder: Path) -> dict[str, str]:
    view = open_view(folder)
    assert view.damaged == ()
    return {
        path: opened.segment.text_of(number).decode()
        for opened in view.opened
        for path, number in opened.files.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_changed_and_dropped_files_count_no_more(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="one = call(1)\n", b="zwei: wert(2)\n")
        put(writer, a="one = call(3)\n")
        writer.drop(["b.py"], "repo")
        writer.commit()
    index = FolderIndex(folder)
    (level, *_) = index.levels(b"one = call(", path="x.py")
    assert [item.following for item in level.occurrences] == [b"3)\n"]
    assert index.levels(b"zwei: w", path="x.py") == []


def test_nothing_is_in_force_before_the_commit(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="one\n")
        writer.drop(["a.py"], "repo")
        writer.add([content("b.py", "two\n")], "repo")
        assert texts_in(folder) == {"a.py": "one\n"}
        writer.commit()
        assert texts_in(folder) == {"b.py": "two\n"}


def test_a_merged_index_answers_as_before(folder: Path) -> None:
    dice = random.Random(3)
    names = [f"f{n}" for n in range(6)]
    with IndexWriter(folder) as writer:
        for version in range(12):
            name = dice.choice(names)
            put(writer, **{name: f"value = make_{dice.randint(0, 3)}(x)\n" * (version + 1)})
        before = FolderIndex(folder)
        contexts = [b"value = make_", b"value = make_1(x)\nvalue = ", b"nothing of it"]
        answers = [shape(before.levels(context, path="f1.py")) for context in contexts]
        texts = texts_in(folder)
        assert writer.merge()
        while writer.merge():
            pass
    assert texts_in(folder) == texts
    assert len(open_view(folder).opened) < len(before.view.opened)
    after = FolderIndex(folder)
    assert [shape(after.levels(context, path="f1.py")) for context in contexts] == answers


def shape(levels: list) -> list[tuple[int, int, list[tuple[int, bytes]]]]:
    return [
        (level.length, level.count, sorted((o.length, o.following) for o in level.occurrences))
        for level in levels
    ]


def test_a_segment_without_living_files_is_deleted(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="one\n")
        put(writer, a="two\n")
        assert len(list(folder.glob("*.seg"))) == 1


def test_large_input_is_cut_into_segments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FIRST_SEGMENT_BYTES", 1000)
    monkeypatch.setattr(store_module, "SEGMENT_BYTES", 3000)
    seen: list[int] = []

    def contents() -> Iterator[FileContent]:
        for n in range(30):
            seen.append(len(texts_in(folder)))
            yield content(f"{n}.py", "x" * 500)

    with IndexWriter(folder) as writer:
        writer.add(contents(), "repo", stepwise=True)
        writer.commit(is_complete=True)
    assert len(texts_in(folder)) == 30
    sizes = [len(opened.segment.entries) for opened in open_view(folder).opened]
    assert sizes == [2, 4, 6, 6, 6, 6]  # up to 1,000 bytes, twice as many, and 3,000 at most
    assert 0 < seen[15] < seen[-1]  # what is ready is found before the rest is


def test_no_segment_of_many_is_in_force_before_the_commit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "FIRST_SEGMENT_BYTES", 8)
    with IndexWriter(folder) as writer:
        writer.add([content(f"{n}.py", "x = 1\n") for n in range(9)], "repo")
        assert texts_in(folder) == {}
        writer.commit()
    assert len(texts_in(folder)) == 9


def test_a_second_writer_is_refused(folder: Path) -> None:
    with IndexWriter(folder), pytest.raises(IndexBusyError, match="another process is writing"):
        IndexWriter(folder)
    with IndexWriter(folder):
        pass


def test_the_index_is_private(folder: Path) -> None:
    umask = os.umask(0)
    try:
        with IndexWriter(folder) as writer:
            put(writer, a="one\n")
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}


def test_readers_see_whole_states_while_a_writer_writes(folder: Path) -> None:
    """Every state has both files of one version."""
    problems: list[str] = []
    is_done = threading.Event()

    def read() -> None:
        while not is_done.is_set():
            texts = texts_in(folder)
            if len(set(texts.values())) > 1 or len(texts) not in (0, 2):
                problems.append(repr(texts))

    with IndexWriter(folder) as writer:
        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for version in range(25):
            put(writer, a=f"{version}\n", b=f"{version}\n")
            writer.merge()
        is_done.set()
        for reader in readers:
            reader.join()
    assert problems == []


def test_an_open_index_notices_a_newer_index(folder: Path) -> None:
    build_from_texts(folder, [("a.py", "one = call(1)\n")])
    index = FolderIndex(folder)
    build_from_texts(folder, [("a.py", "one = call(2)\n")])
    end = time.monotonic() + 20
    while time.monotonic() < end:
        (level, *_) = index.levels(b"one = call(", path="x.py")
        if level.occurrences[0].following == b"2)\n":
            return
    raise AssertionError("the newer index was not opened")


@pytest.mark.slow
def test_killed_at_any_moment_the_index_is_whole(folder: Path) -> None:
    dice = random.Random(shifted(0))
    n_texts = 0
    for seed in map(str, range(shifted(0), shifted(5))):
        command = [sys.executable, "-m", "tests.assistant.index.hammer", str(folder), seed]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            end = time.monotonic() + dice.random() * 0.3
            while time.monotonic() < end:  # reading in another process meanwhile
                assert all(is_whole(text.encode()) for text in texts_in(folder).values())
            process.kill()
        count(1)
        texts = texts_in(folder)
        assert all(is_whole(text.encode()) for text in texts.values())
        n_texts += len(texts)
        with IndexWriter(folder) as writer:  # the lock went with the process, and orphans go now
            named = {ref.name for ref in writer.view.manifest.segments}
            assert {path.name for path in folder.glob("*.seg")} == named
            assert list(folder.glob(".*.tmp")) == []
    assert n_texts > 5


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 99}', b"[" * 100_000, b"\xff\xfe"])
def test_a_damaged_manifest_means_an_empty_index(
    folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    build_from_texts(folder, [("a.py", "one\n")])
    (folder / FILE_NAME).write_bytes(damage)
    assert FolderIndex(folder).levels(b"one\n", path="x.py") == []
    assert len(caplog.records) == 1
    build_from_texts(folder, [("b.py", "two\n")])
    assert texts_in(folder) == {"b.py": "two\n"}
    assert len(list(folder.glob("*.seg"))) == 1


def test_a_manifest_names_no_file_elsewhere(folder: Path) -> None:
    build_from_texts(folder, [("a.py", "one\n")])
    path = folder / FILE_NAME
    name = next(folder.glob("*.seg")).name
    path.write_text(path.read_text().replace(name, "../" + name))
    assert open_view(folder).opened == ()


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_cut_segment_is_left_out_with_one_line_and_replaced(
    folder: Path, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="one\n" * 500)
        put(writer, b="two\n")
    first = folder / open_view(folder).manifest.segments[0].name
    first.write_bytes(first.read_bytes()[:keep])
    view = open_view(folder)
    assert view.damaged == (first.name,)
    assert [record.getMessage().count("read again") for record in caplog.records] == [1]
    with IndexWriter(folder) as writer:
        assert writer.view.entries("repo").keys() == {"b.py"}
        put(writer, a="one\n" * 500)
    assert texts_in(folder).keys() == {"a.py", "b.py"}
    assert not first.exists()


def test_a_full_disk_leaves_the_index_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="one\n")

        def refuse(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(segment_module.os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            put(writer, b="two\n")
        monkeypatch.undo()
    assert texts_in(folder) == {"a.py": "one\n"}
    assert len(list(folder.glob("*.seg"))) == 1


def test_a_failing_store_gives_the_lock_back(folder: Path) -> None:
    folder.mkdir()
    (folder / "odd.seg").mkdir()  # cannot be deleted as a file is; nobody minds
    with IndexWriter(folder):
        pass
    with FileLock(folder / "lock", timeout=0):
        pass


def test_a_segment_that_goes_away_while_opening_means_a_newer_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_from_texts(folder, [("a.py", "one\n")])
    old = read_manifest(folder)
    build_from_texts(folder, [("a.py", "two\n")])
    new = read_manifest(folder)
    answers = iter([old])
    monkeypatch.setattr("assistant.index.reader.read_manifest", lambda _: next(answers, new))
    assert texts_in(folder) == {"a.py": "two\n"}


def test_a_clear_empties_the_index(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        put(writer, a="one\n")
        writer.commit(is_complete=True, seen={"repo/b.py": Stamp(1, 2)})
        writer.clear()
    assert texts_in(folder) == {}
    assert list(folder.glob("*.seg")) == []
    manifest = open_view(folder).manifest
    assert not manifest.is_complete and manifest.seen == {}


def test_a_file_that_is_in_use_is_deleted_by_a_later_writer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where nobody can delete what a reader has mapped."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "in use", str(path))

    with IndexWriter(folder) as writer, monkeypatch.context() as patch:
        put(writer, a="one\n")
        patch.setattr(Path, "unlink", refuse)
        writer.clear()
    assert texts_in(folder) == {}
    assert len(list(folder.glob("*.seg"))) == 1
    with IndexWriter(folder):
        assert list(folder.glob("*.seg")) == []


def test_opened_segments_outlive_their_files(folder: Path) -> None:
    build_from_texts(folder, [("a.py", "one = call(1)\n")])
    index = FolderIndex(folder)
    (name,) = [opened.segment.name for opened in index.view.opened]
    segment = Segment(folder / name)
    (folder / name).unlink()
    assert segment.text_of(0) == b"one = call(1)\n"


def test_a_manifest_that_never_stays_the_same_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_from_texts(folder, [("a.py", "one\n")])
    (name,) = folder.glob("*.seg")
    manifest = read_manifest(folder)
    assert manifest is not None
    name.unlink()
    assert open_view(folder).damaged == (name.name,)
    changing = (dataclasses.replace(manifest, root=str(n)) for n in itertools.count())
    monkeypatch.setattr("assistant.index.reader.read_manifest", lambda _: next(changing))
    with pytest.raises(OSError, match="does not stop changing"):
        open_view(folder)
    assert FolderIndex(folder).levels(b"one\n", path="x.py") == []


def test_a_writer_that_cannot_read_the_index_gives_the_lock_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("assistant.index.writer.open_view", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            IndexWriter(folder)
    with IndexWriter(folder):
        pass
