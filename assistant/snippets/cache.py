"""Which snippets a cursor gets: from the index's files, and the same ones while a person types.

A change of snippets changes the start of the prompt, and all that is cached behind it is lost. So a
choice is kept for the scope that the cursor is in, and made anew when it leaves the scope, the
file, or some thousands of characters. The files are read from the index in the background, once;
until then there are no snippets.
"""

import itertools
import logging
import threading
import time
import weakref
from collections.abc import Iterator

from assistant.index.folder_index import FolderIndex
from assistant.index.reader import IndexView, OpenSegment
from assistant.request import CompletionRequest
from assistant.snippets.search import SnippetSearch
from assistant.source import blocks
from assistant.source.languages import language_of
from model.fim import Snippet
from model.lru import LRU

MAX_SOURCE_BYTES = 8_000_000  # of a repository's code that is looked through
KEPT_CHOICES = 64
STRETCH_CHARS = 4_096  # within one scope; further on, other names matter
REFRESH_S = 60.0  # a newer index is not read again sooner
_PAUSE_S = 0.002  # between files

log = logging.getLogger(__name__)

_Key = tuple[str, tuple[str, ...], int]


class SnippetCache:
    """Chooses snippets and remembers what it chose; any thread may ask."""

    def __init__(self, *, is_waiting: bool = False) -> None:
        """With `is_waiting` the first question waits for the files to be read: for evaluation."""
        self._is_waiting = is_waiting
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._shelves: weakref.WeakKeyDictionary[FolderIndex, _Shelf] = weakref.WeakKeyDictionary()

    def close(self, timeout_s: float) -> None:
        """Read no more, and wait at most so long for each thread that does."""
        self._closed.set()
        for shelf in list(self._shelves.values()):
            shelf.join(timeout_s)

    def snippets_for(
        self, index: FolderIndex | None, request: CompletionRequest, *, budget_chars: int
    ) -> list[Snippet]:
        """Return the snippets for a request, the best one last; none if there is no index yet."""
        if budget_chars <= 0 or index is None:
            return []
        with self._lock:
            shelf = self._shelves.setdefault(index, _Shelf(self._closed))
        return shelf.choose(index, request, budget_chars, is_waiting=self._is_waiting)


def scope_key(request: CompletionRequest) -> _Key:
    """Return what stays the same while snippets shall."""
    text, offset = request.text, request.offset
    stretch = offset // STRETCH_CHARS
    # Headers further up are not looked for: all of a long class would be walked at each keystroke.
    low = max(0, stretch - 1) * STRETCH_CHARS
    near = text[low : blocks.line_end(text, offset)]
    language = language_of(request.path, request.language)
    headers = blocks.open_headers(near, offset - low, language)
    if headers:
        stretch = (offset - low - headers[-1][0]) // STRETCH_CHARS
    return request.document, tuple(line for _, line in headers), stretch


def choose_snippets(
    source: SnippetSearch, request: CompletionRequest, budget_chars: int
) -> list[Snippet]:
    """Ask with the lines above and below the cursor's, which is being written."""
    text, offset = request.text, request.offset
    return source.snippets(
        path=source.own_path(request.path),
        before=text[: blocks.line_start(text, offset)],
        after=text[blocks.line_end(text, offset) :],
        budget_chars=budget_chars,
    )


class _Shelf:
    """One index's files, read by a thread of its own, and what was chosen from them."""

    def __init__(self, closed: threading.Event) -> None:
        self._closed = closed
        self._reading: threading.Thread | None = None
        self._lock = threading.Lock()
        self._kept: LRU[_Key, list[Snippet]] = LRU(KEPT_CHOICES)
        self._source: SnippetSearch | None = None
        self._view: IndexView | None = None  # that `_source` was, or is being, read from
        self._exclude: tuple[str, ...] = ()  # what was left out of it
        self._read_at = 0.0

    def choose(
        self, index: FolderIndex, request: CompletionRequest, budget_chars: int, *, is_waiting: bool
    ) -> list[Snippet]:
        """Return what was chosen before in this scope, else a choice that is kept from now on."""
        key = scope_key(request)
        with self._lock:
            if self._exclude != index.exclude:  # nothing of what is excluded now
                self._exclude, self._source, self._view = index.exclude, None, None
                self._kept.clear()
            kept = self._kept.use(key)
        source = None if kept is not None else self._newest(index, is_waiting=is_waiting)
        if source is None:
            return kept or []
        found = choose_snippets(source, request, budget_chars)
        with self._lock:
            self._kept.put(key, found)
        return found

    def _newest(self, index: FolderIndex, *, is_waiting: bool) -> SnippetSearch | None:
        """Return what was read last; begin to read if there is newer, or nothing yet."""
        view = index.view
        with self._lock:
            is_new = self._view is None or view.version != self._view.version
            is_due = self._source is None or time.monotonic() - self._read_at > REFRESH_S
            if not (is_new and is_due and view.opened):
                return self._source
            self._view, self._read_at = view, time.monotonic()
            if is_waiting:
                self._source = SnippetSearch(_files(index, view))
                return self._source
        self._reading = threading.Thread(
            target=self._read, args=(index, view), name="snippets", daemon=True
        )
        self._reading.start()
        return self._source

    def join(self, timeout_s: float) -> None:
        """Wait at most so long for the reading thread."""
        if self._reading is not None:
            self._reading.join(timeout_s)

    def _read(self, index: FolderIndex, view: IndexView) -> None:
        started, exclude = time.monotonic(), index.exclude
        # A pause between files, so that who types never waits for the interpreter.
        files = itertools.takewhile(lambda _: not self._closed.wait(_PAUSE_S), _files(index, view))
        source = SnippetSearch(files)
        if self._closed.is_set():
            return
        with self._lock:
            if exclude == self._exclude:
                self._source = source
        log.info("snippets: %d files in %.1f s", source.n_files, time.monotonic() - started)


def _files(index: FolderIndex, view: IndexView) -> Iterator[tuple[str, bytes]]:
    """Yield the code of the repository; of too much, the smaller files."""
    found = [
        (opened.segment.size_of([number]), path, opened, number)
        for opened in view.opened
        if opened.ref.layer == "repo"
        for path, number in opened.files.items()
        if language_of(path) is not None and not index.is_excluded(path)
    ]
    chosen: list[tuple[str, OpenSegment, int]] = []
    room = MAX_SOURCE_BYTES
    for size, path, opened, number in sorted(found, key=lambda each: each[:2]):
        room -= size
        if room < 0:
            break
        chosen.append((path, opened, number))
    for path, opened, number in sorted(chosen, key=lambda each: each[0]):
        if opened.segment.is_whole():
            yield path, opened.segment.text_of(number)
