"""An index as its one writer has it: segments added, files dropped, small segments merged.

The folder is private, and a lock in it lets one process write at a time. New segments are on disk
before a manifest names them, and old ones are deleted after it no longer does: killed at any
moment, the writer leaves an index that is whole, at most with a file too many, which the next one
deletes.
"""

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from filelock import AcquireReturnProxy, FileLock, Timeout

from assistant.index.reader import (
    FILE_NAME,
    FORMAT,
    Manifest,
    ManifestError,
    OpenSegment,
    SegmentRef,
    Stamp,
    open_view,
    read_manifest,
)
from assistant.index.segment import FileContent, write_segment
from model.paths import cache_folder, claim, find_exposure
from model.publish import sync_folder, write_atomically

SEGMENT_BYTES = 16 << 20  # of text; building one takes six times as much memory for a moment
FIRST_SEGMENT_BYTES = 4 << 20  # so that there is something to find early
_SMALL_BYTES = 1 << 18
_MANY_SMALL = 4
_MAX_DEAD_FRACTION = 0.3
_MAX_DEAD_BYTES = 1 << 20  # dead text is looked through at each question
_DEAD_TEXT_S = 24 * 3600.0  # text that was deleted or changed is on disk for a day at most
_MAX_AGE_S = 90 * 24 * 3600.0  # of an index that nobody brings up to date
_SUFFIX = ".seg"
_LOCK_NAME = "lock"

log = logging.getLogger(__name__)


class IndexBusyError(RuntimeError):
    """Another process is writing this index."""


def indexes_folder() -> Path:
    """Return the folder that holds all indexes."""
    return cache_folder() / "index"


def index_folder(root: Path) -> Path:
    """Return where the index of a workspace is kept; it may not exist yet."""
    real = os.path.realpath(root)
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:32]
    return indexes_folder() / name


def lock_index(folder: Path, timeout_s: float = 0.0) -> "AcquireReturnProxy[FileLock]":
    """Return the lock of an index, held; IndexBusyError if another process has it."""
    lock = FileLock(folder / _LOCK_NAME, mode=0o600, thread_local=False)
    try:
        return lock.acquire(timeout=timeout_s)
    except Timeout:
        raise IndexBusyError(f"another process is writing the index in {folder}") from None


class IndexWriter:
    """The writer of one index; a context manager that holds the lock."""

    def __init__(self, folder: Path, *, root: str = "", timeout_s: float = 0.0) -> None:
        """Lock the index in `folder`, made if needed; IndexBusyError if another writer has it."""
        self.folder = folder
        if folder.parent == indexes_folder():
            claim(folder.parent)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if exposure := find_exposure(folder):
            raise OSError(exposure)
        self._lock = lock_index(folder, timeout_s).lock
        try:
            self.view = open_view(folder)
            self._root = root or self.view.manifest.root
            self._added: list[SegmentRef] = []
            self._dead = {opened.ref.name: set(opened.ref.dead) for opened in self.view.opened}
            self._sorter = ThreadPoolExecutor(1, thread_name_prefix="index-sort")
            self._delete_orphans()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sorter.shutdown()
        self._lock.release()

    def drop(self, paths: Collection[str], layer: str) -> None:
        """Let files count no more, from the next commit on."""
        for opened in self.view.opened:
            if opened.ref.layer == layer:
                dead = self._dead[opened.ref.name]
                dead.update(opened.files[path] for path in paths if path in opened.files)

    def add(self, contents: Iterable[FileContent], layer: str, *, stepwise: bool = False) -> None:
        """Add files, from the next commit on; `stepwise` commits each segment that is full.

        Suffixes are sorted on another thread while `contents` yields.
        """
        room = FIRST_SEGMENT_BYTES
        batch: list[FileContent] = []
        n_bytes = 0
        pending: Future[SegmentRef] | None = None
        for content in contents:
            if batch and n_bytes + len(content.text) > room:
                self._take(pending, stepwise=stepwise)
                pending = self._sorter.submit(self._write, batch, layer)
                batch, n_bytes = [], 0
                room = min(2 * room, SEGMENT_BYTES)
            batch.append(content)
            n_bytes += len(content.text)
        self._take(pending, stepwise=stepwise)
        if batch:
            self._take(self._sorter.submit(self._write, batch, layer), stepwise=False)

    def commit(
        self, *, is_complete: bool | None = None, seen: dict[str, Stamp] | None = None
    ) -> None:
        """Put what was added and dropped in force; what is None stays as it was."""
        old = self.view.manifest
        kept = [
            opened.ref._replace(dead=frozenset(self._dead[opened.ref.name]))
            for opened in self.view.opened
            if len(self._dead[opened.ref.name]) < len(opened.segment.entries)
        ]
        manifest = Manifest(
            root=self._root,
            is_complete=old.is_complete if is_complete is None else is_complete,
            segments=(*kept, *self._added),
            seen=old.seen if seen is None else seen,
        )
        if manifest == old and not self.view.damaged:
            return
        if self._added:
            sync_folder(self.folder)  # the names of new segments, before a manifest has them
        self._put_in_force(manifest)
        self._added = []
        self.view = open_view(self.folder, self.view)
        self._dead = {opened.ref.name: set(opened.ref.dead) for opened in self.view.opened}
        self._delete_orphans()
        if self.view.damaged:
            raise OSError(f"{self.folder / self.view.damaged[0]} cannot be read back")

    def _put_in_force(self, manifest: Manifest) -> None:
        table = {
            "format": FORMAT,
            "root": manifest.root,
            "is_complete": manifest.is_complete,
            "segments": [[ref.name, ref.layer, sorted(ref.dead)] for ref in manifest.segments],
            "seen": manifest.seen,
        }
        text = json.dumps(table, separators=(",", ":"))
        write_atomically(self.folder / FILE_NAME, text.encode())

    def merge(self) -> bool:
        """Join small segments and clear out dead files; say whether there was something to do."""
        merged = False
        for layer in sorted({opened.ref.layer for opened in self.view.opened}):
            chosen = find_mergeable(
                [opened for opened in self.view.opened if opened.ref.layer == layer]
            )
            if chosen:
                self._merge(chosen, layer)
                merged = True
        return merged

    def forget(self, paths: Collection[str], layer: str) -> None:
        """Rewrite the segments that still hold the text of dropped files: these must not stay."""
        for opened in [*self.view.opened]:
            dead = (opened.segment.entries[number].path for number in opened.ref.dead)
            if opened.ref.layer == layer and not set(paths).isdisjoint(dead):
                self._merge([opened], layer)

    def clear(self) -> None:
        """Empty the index."""
        for opened in self.view.opened:
            self._dead[opened.ref.name] = set(range(len(opened.segment.entries)))
        self.commit(is_complete=False, seen={})

    def _merge(self, chosen: list[OpenSegment], layer: str) -> None:
        contents = (
            FileContent(opened.segment.entries[number], opened.segment.text_of(number))
            for opened in chosen
            for number in opened.files.values()
        )
        if batch := list(contents):
            self._added.append(self._write(batch, layer))
        for opened in chosen:
            self._dead[opened.ref.name] = set(range(len(opened.segment.entries)))
        self.commit()

    def _take(self, pending: "Future[SegmentRef] | None", *, stepwise: bool) -> None:
        if pending is not None:
            self._added.append(pending.result())
            if stepwise:
                self.commit()

    def _write(self, batch: list[FileContent], layer: str) -> SegmentRef:
        name = secrets.token_hex(8) + _SUFFIX
        write_segment(self.folder / name, batch)
        return SegmentRef(name=name, layer=layer)

    def _delete_orphans(self) -> None:
        """Delete what no manifest names: only a writer that was killed leaves such files."""
        named = {ref.name for ref in self.view.manifest.segments} - set(self.view.damaged)
        for path in self.folder.iterdir():
            is_orphan = path.suffix in (_SUFFIX, ".tmp") and path.name not in named
            if is_orphan:
                with contextlib.suppress(OSError):  # on Windows, a reader may still have it mapped
                    path.unlink()


def find_mergeable(segments: list[OpenSegment]) -> list[OpenSegment]:
    """Return which segments are worth joining into one, none if it does not pay."""
    by_size = sorted(segments, key=lambda opened: opened.live_bytes)
    chosen: list[OpenSegment] = []
    total = 0
    for opened in by_size:
        size = opened.live_bytes
        # A segment is rewritten only with as much that is new: each byte a few times in all.
        is_new_enough = not chosen or size <= 2 * max(total, _SMALL_BYTES)
        if is_new_enough and total + size <= SEGMENT_BYTES:
            chosen.append(opened)
            total += size
    if len(chosen) >= _MANY_SMALL:
        return chosen
    return [opened for opened in by_size if _is_wasteful(opened)][:1]


def _is_wasteful(opened: OpenSegment) -> bool:
    n_bytes = len(opened.segment.text)
    n_dead = n_bytes - opened.live_bytes
    if n_dead and time.time() - opened.segment.written_s > _DEAD_TEXT_S:
        return True
    return n_dead > min(_MAX_DEAD_FRACTION * n_bytes, _MAX_DEAD_BYTES)


def prune() -> None:
    """Delete the indexes of folders that are gone, and those that nobody has used for long."""
    with contextlib.suppress(OSError):
        for folder in sorted(indexes_folder().iterdir()):
            with contextlib.suppress(ManifestError, IndexBusyError, OSError):
                manifest = read_manifest(folder)
                if manifest is None:
                    continue
                age_s = time.time() - (folder / FILE_NAME).stat().st_mtime
                is_gone = manifest.root != "" and not Path(manifest.root).exists()
                if is_gone or age_s > _MAX_AGE_S:
                    with lock_index(folder):  # not under a writer's hands
                        shutil.rmtree(folder)
