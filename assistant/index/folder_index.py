"""The index of one folder as it is now, and over it the documents open in an editor.

Any thread may ask. An open document is searched in its live text, and its copy in the index does
not count meanwhile; nor does that of the document that is asked for, whose own text is
`document_levels`'s business. A newer index, written here or by another process, is noticed at the
next question and opened in the background. Knows how to look things up; writes nothing.
"""

import contextlib
import logging
import threading
from collections.abc import Collection
from pathlib import Path

from assistant.index.matches import (
    MAX_CONTEXT,
    MAX_LEVELS,
    Level,
    ShouldStop,
    TextSource,
    nested_levels,
    never,
)
from assistant.index.open_documents import OpenDocuments
from assistant.index.reader import IndexView, open_view, version_of
from assistant.index.segment_search import SegmentSource
from assistant.index.writer import index_folder

log = logging.getLogger(__name__)


class FolderIndex:
    """Answers `levels` from an index and open documents."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the index in `folder`; one that is not there yet is empty until it is.

        Without a folder there are only open documents.
        """
        self.folder = folder
        self._documents = OpenDocuments()
        self._stale: frozenset[str] = frozenset()
        self._reload_lock = threading.Lock()
        self._view = IndexView()
        with self._reload_lock, contextlib.suppress(OSError):  # tried again at the next question
            self._reload()

    @property
    def view(self) -> IndexView:
        """The index as it was last read."""
        return self._view

    def levels(
        self,
        context: bytes,
        *,
        path: str,
        document: str = "",
        max_levels: int = MAX_LEVELS,
        should_stop: ShouldStop = never,
    ) -> list[Level]:
        """Return where `context`, the bytes before a cursor in `path`, stands elsewhere.

        Longest first; each next level is the longest at which the count has at least doubled, none
        shorter than MIN_MATCH. `path` is the cursor's own file and `document` which of the open
        ones it is (default: the one of that path); both are left out. `should_stop` is asked
        between levels; what was found by then is returned.
        """
        self._notice_newer()
        context = context[-MAX_CONTEXT:]
        sources: list[TextSource | SegmentSource] = [
            *self._documents.sources(context, but=document or path)
        ]
        hidden = {path, *self._documents.paths(), *self._stale}
        sources += [
            opened.source(context, hidden)
            for opened in self._view.opened
            if opened.segment.is_whole()
        ]
        return nested_levels(sources, max_levels, should_stop)

    def files_with(self, text: str) -> list[str]:
        """Return files of the repository that are not open and hold `text`, a sample if many do."""
        context = text.encode()[-MAX_CONTEXT:]
        level = next(iter(self.levels(context, path="", max_levels=1)), None)
        if level is None or level.length < len(context):
            return []
        return list(dict.fromkeys(at.path for at in level.occurrences if at.layer == "repo"))

    def set_open(self, path: str, text: str, document: str = "") -> None:
        """Search `text` in place of the file at `path`, from now on.

        `document` tells several of one path apart, such as the cells of a notebook.
        """
        self._documents.put(path, text, document)

    def close_open(self, document: str) -> None:
        """Search a document's file as the index has it."""
        self._documents.remove(document)

    def update(self, stale: Collection[str]) -> None:
        """Leave out what the index has of these files: they have changed, and are not yet read."""
        self._stale = self._stale | frozenset(stale)

    def refresh(self) -> None:
        """Open the newest index, blocking; what it has of any file counts again."""
        self._stale = frozenset()
        with self._reload_lock:
            self._reload()

    def join(self, timeout_s: float) -> None:
        """Wait at most so long for an index that is being opened."""
        if self._reload_lock.acquire(timeout=timeout_s):
            self._reload_lock.release()

    def _notice_newer(self) -> None:
        if self.folder is None or version_of(self.folder) == self._view.version:
            return
        if self._reload_lock.acquire(blocking=False):
            try:
                threading.Thread(
                    target=self._reload_unlocking, name="index-open", daemon=True
                ).start()
            except RuntimeError:  # no more threads, or the interpreter is ending
                self._reload_lock.release()

    def _reload_unlocking(self) -> None:
        try:
            self._reload()
        except OSError as error:
            log.warning("index: cannot open %s: %s", self.folder, error.strerror)
        finally:
            self._reload_lock.release()

    def _reload(self) -> None:
        if self.folder:
            self._view = open_view(self.folder, self._view)


def find_index(file: Path) -> tuple[FolderIndex, str] | None:
    """Return the index of the nearest folder around `file` that has one, and the path in it."""
    file = file.absolute()
    for root in file.parents:
        if version_of(folder := index_folder(root)) is not None:
            return FolderIndex(folder), file.relative_to(root).as_posix()
    return None
