"""The index of one folder as it is now, and over it the documents open in an editor.

Any thread may ask. An open document is searched in its live text, and its copy in the index does
not count meanwhile; nor does that of the document that is asked for, whose own text is
`document_levels`'s business. A newer index, written here or by another process, is noticed at the
next question and opened in the background.

A document is handed over by reference and prepared when it is first searched, away from whoever
handed it over: what is typed in one document is found from another at once. Secrets are replaced as
they are in the index, paragraph by paragraph, so that an edit costs one paragraph; what may be a
secret in the making is left out, where the last edit was.
"""

import contextlib
import logging
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from assistant.edits.history import Edit, line_changes
from assistant.git import git_directory
from assistant.index.matches import (
    MAX_CONTEXT,
    MAX_LEVELS,
    Level,
    ShouldStop,
    Source,
    TextSource,
    nested_levels,
    never,
)
from assistant.index.reader import IndexView, open_view, version_of
from assistant.index.segment import encode_text
from assistant.index.writer import index_folder
from assistant.privacy.exclusion import is_excluded
from assistant.privacy.redaction import redact, spans_paragraphs
from assistant.privacy.secret_names import names_in
from assistant.privacy.unfinished import edited_at, without_open_secret
from model.files import UnreadableFileError, from_root, read_regular

MAX_FILES = 20  # where an edit may be due again
MAX_FILE_BYTES = 1_000_000
MIN_WORD = 4  # characters of a replaced word that is looked for
MAX_CHARS = 1_000_000  # of a document that is searched
PREPARED_CHARS = 200_000  # a tenth of a second's work, of documents that are searched first
_BREAK = "\n\n"  # few secrets go across
_NAME_CHARS = 300  # before a blank line, in which a name may stand whose value is behind it

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _OpenDocument:
    """An editor's text of a file, made ready when it is first searched."""

    path: str
    text: str
    before: str  # the last edit
    prepared: bytes | None = None
    paragraphs: dict[str, bytes] = field(default_factory=dict)  # as they were prepared before
    named: dict[str, bool] = field(default_factory=dict)  # ends of theirs: do they name a secret?

    def prepare(self) -> bytes:
        """Return the text as it is searched."""
        if self.prepared is None:
            text = self.text if len(self.text) <= MAX_CHARS else ""
            text = without_open_secret(text, edited_at(self.before, text))
            self.prepared = self._replace_secrets(text)
            self.before = ""  # no longer needed
        return self.prepared

    def _replace_secrets(self, text: str) -> bytes:
        if spans_paragraphs(text):
            return encode_text(redact(text)[0])
        pieces = self._cut(text.replace("\r\n", "\n"))
        self.paragraphs = {
            piece: self.paragraphs.get(piece) or encode_text(redact(piece)[0])
            for piece in dict.fromkeys(pieces)
        }
        return _BREAK.encode().join([self.paragraphs[piece] for piece in pieces])

    def _cut(self, text: str) -> list[str]:
        """Cut a text at its blank lines, but not where a value may follow the name of a secret."""
        pieces: list[str] = []
        named: dict[str, bool] = {}
        for piece in text.split(_BREAK):
            tail = pieces[-1][-_NAME_CHARS:] if pieces and piece[:1].isspace() else ""
            if tail:
                named[tail] = self.named[tail] if tail in self.named else bool(names_in(tail))
            if tail and named[tail]:
                pieces[-1] += _BREAK + piece
            else:
                pieces.append(piece)
        self.named = named
        return pieces


class FolderIndex:
    """Answers `levels` from an index and open documents."""

    def __init__(
        self, folder: Path | None = None, *, name: str = "", exclude: tuple[str, ...] = ()
    ) -> None:
        """Open the index in `folder`; one that is not there yet is empty until it is.

        Without a folder there are only open documents. `name` is that of the folder that is
        indexed. What `exclude` names is not searched, whatever the index still has of it.
        """
        self.folder = folder
        self.exclude = exclude
        self._name = name
        self._lock = threading.Lock()
        self._documents: dict[str, _OpenDocument] = {}
        self._stale: frozenset[str] = frozenset()
        self._reload_lock = threading.Lock()
        self.view = IndexView()  # as it was last read
        with self._reload_lock, contextlib.suppress(OSError):  # tried again at the next question
            self._reload()

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
        with self._lock:
            documents = dict(self._documents)
        hidden = {path, *self._stale, *(each.path for each in documents.values())}
        documents.pop(document or path, None)
        whole = (opened for opened in self.view.opened if opened.segment.is_whole())
        sources: list[Source] = [
            TextSource(each.prepare(), context, path=each.path, layer="open")
            for each in _made_ready(documents.values(), should_stop)
        ]
        sources += [opened.source(context, hidden) for opened in whole]
        levels = nested_levels(sources, max_levels, should_stop)
        return self._without_excluded(levels) if self.exclude else levels

    def is_excluded(self, path: str) -> bool:
        """Say whether a file of the folder is not to be searched."""
        return is_excluded(f"{self._name}/{path}", self.exclude)

    def _without_excluded(self, levels: Iterable[Level]) -> list[Level]:
        """Leave out what the index has of files that are excluded since."""
        left = []
        for level in levels:
            kept = [at for at in level.occurrences if not self.is_excluded(at.path)]
            if kept:
                n_gone = len(level.occurrences) - len(kept)
                left.append(level if not n_gone else Level(level.length, len(kept), tuple(kept)))
        return left

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
        key = document or path
        with self._lock:
            old = self._documents.get(key)
            if old is None:
                self._documents[key] = _OpenDocument(path, text, "")
            elif (old.path, old.text) != (path, text):
                new = _OpenDocument(path, text, old.text, None, old.paragraphs, old.named)
                self._documents[key] = new

    def close_open(self, document: str) -> None:
        """Search a document's file as the index has it."""
        with self._lock:
            self._documents.pop(document, None)

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
        if self.folder is None or version_of(self.folder) == self.view.version:
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
            self.view = open_view(self.folder, self.view)


def find_index(file: Path, exclude: tuple[str, ...] = ()) -> tuple[FolderIndex, str] | None:
    """Return the index of the nearest folder around `file` that has one, and the path in it."""
    file = from_root(file)
    for root in file.parents:
        if version_of(folder := index_folder(root)) is not None:
            index = FolderIndex(folder, name=root.name, exclude=exclude)
            return index, file.relative_to(root).as_posix()
    return None


def _made_ready(
    documents: Iterable[_OpenDocument], should_stop: ShouldStop
) -> Iterator[_OpenDocument]:
    """Yield documents that are, or can in a moment be, made ready; the next question finds more.

    An editor opens hundreds at once to replace a text in all of them.
    """
    n_chars = 0
    for each in documents:
        if each.prepared is None:
            if n_chars > PREPARED_CHARS or should_stop():
                continue
            n_chars += len(each.text)
            each.prepare()
        yield each


def find_indexed_root(place: Path) -> Path | None:
    """Return the nearest folder around `place`, or itself, that has an index or is a repository."""
    place = from_root(place)
    folders = (place, *place.parents)
    return next(
        (root for root in folders if version_of(index_folder(root)) or git_directory(root)), None
    )


def files_like(
    index: FolderIndex, root: Path, edit: Edit, exclude: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of files that are not open and hold what the edit changed."""
    wanted = dict[str, None]()
    for change in line_changes(edit):
        words = [hunk.old for hunk in change.hunks if len(hunk.old) >= MIN_WORD]
        wanted |= dict.fromkeys([change.old, *filter(str.isidentifier, words)])
    paths = dict.fromkeys(path for text in wanted for path in index.files_with(text))
    allowed = (path for path in paths if not is_excluded(f"{root.name}/{path}", exclude))
    for path in islice(allowed, MAX_FILES):
        try:
            text = read_regular(root / path, MAX_FILE_BYTES, inside=root).decode()
        except (UnreadableFileError, UnicodeDecodeError):
            continue
        yield path, text.removeprefix("\ufeff")
