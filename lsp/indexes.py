"""The indexes of the workspace folders: kept fresh, fed with open documents, shown as progress.

Opening an index and everything after it happen on other threads. A document's text is handed over
when a suggestion is asked for, so that a keystroke costs nothing here. Knows the protocol's
messages as plain tables; knows nothing of how an index works.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp.document_paths import local_path, names_of, place_in
from lsp.scheduler import describe

if TYPE_CHECKING:
    from assistant.index.folder_index import FolderIndex
    from assistant.index.updater import IndexUpdater
    from assistant.settings import Settings
    from lsp.documents import Document

WATCH_ID = "foretype-watch"
STOP_S = 0.5  # granted to a thread that ends

log = logging.getLogger(__name__)

OnAnswer = Callable[[bool], None]  # whether the client did what it was asked
Ask = Callable[[str, Mapping[str, Any], OnAnswer], None]
Send = Callable[[Mapping[str, Any]], None]
OpenUpdater = Callable[[Path, "Settings", Callable[[int, int], None]], "IndexUpdater"]


def open_updater(
    root: Path, settings: Settings, on_progress: Callable[[int, int], None]
) -> IndexUpdater:
    """Return what keeps the index of a folder; imports numpy."""
    from assistant.index.updater import IndexUpdater

    return IndexUpdater(root, settings, on_progress=on_progress)


@dataclass(eq=False, kw_only=True, slots=True)
class _Folder:
    """One workspace folder."""

    path: Path
    updater: IndexUpdater | None = None
    is_gone: bool = False


class WorkspaceIndexes:
    """All indexes of one client."""

    def __init__(
        self,
        ask: Ask,
        send: Send,
        open_updater: OpenUpdater = open_updater,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_change` is told which document was edited or closed, when its text goes over."""
        self._on_change = on_change
        self._ask = ask
        self._send = send
        self._open_updater = open_updater
        self._settings: Settings | None = None
        self._lock = threading.Lock()
        self._folders: dict[str, _Folder] = {}
        self._loose: FolderIndex | None = None  # documents in no folder
        self._places: dict[str, tuple[_Folder | None, str]] = {}  # of documents, by URI
        self._touched: set[str] = set()
        self._opening: list[threading.Thread] = []
        self._shows_progress = False
        self._may_watch = False  # the client can, and was not asked

    # --- on the event loop

    def start(
        self, roots: Sequence[str], settings: Settings, *, shows_progress: bool, watches: bool
    ) -> None:
        """Open the indexes of these folders' URIs, in the background."""
        self._settings = settings
        self._shows_progress, self._may_watch = shows_progress, watches
        self.set_roots(roots)

    def set_roots(self, roots: Sequence[str]) -> None:
        """Keep the indexes of these folders, and no others."""
        if self._settings is None or not self._settings.index:
            roots = ()
        for uri in self._folders.keys() - set(roots):
            self._drop(self._folders.pop(uri))
        self._touched |= self._places.keys()  # they may belong to other folders now
        for uri in roots:
            path = local_path(uri)
            if uri not in self._folders and path is not None and os.path.isdir(path):  # noqa: PTH112
                folder = _Folder(path=path)
                self._folders[uri] = folder
                thread = threading.Thread(
                    target=self._open, args=(folder,), name="index-open", daemon=True
                )
                thread.start()
                self._opening = [*filter(threading.Thread.is_alive, self._opening), thread]
        if self._may_watch and self._folders:
            self._may_watch = False
            watcher = {
                "id": WATCH_ID,
                "method": "workspace/didChangeWatchedFiles",
                "registerOptions": {"watchers": [{"globPattern": "**/*"}]},
            }
            self._ask("client/registerCapability", {"registrations": [watcher]}, lambda _: None)

    def configure(self, settings: Settings, roots: Sequence[str]) -> None:
        """Go by other settings."""
        if self._settings is None:
            return
        self._settings = settings
        self._touched |= self._places.keys()  # other files may be excluded now
        self.set_roots(roots)
        for folder in self._folders.values():
            if folder.updater is not None:
                folder.updater.use(settings)

    def touched(self, uri: str) -> None:
        """Take note that a document was opened, edited or closed."""
        self._touched.add(uri)

    def sync(self, roots: Sequence[str], opened: Callable[[str], Document | None]) -> None:
        """Hand over the texts that have changed, before a suggestion is asked for.

        Those of excluded files and of files with secret names are never handed over.
        """
        from assistant.privacy.exclusion import is_excluded

        if self._settings is None or not self._settings.index:
            return
        with self._lock:
            touched, self._touched = self._touched, set()
        for changed in touched:
            document, before = opened(changed), self._places.get(changed)
            root, path = place_in(changed, roots)
            folder = self._folders.get(root)
            if before is not None:
                self._on_change(changed)
            if before is not None and before != (folder, path):
                self._put(*before, changed, None)
            if document is None or document.is_broken:
                self._places.pop(changed, None)
                self._put(folder, path, changed, None)
                continue
            self._places[changed] = folder, path
            names, exclude = names_of(changed, roots), self._settings.exclude
            is_secret = any(is_excluded(name, exclude) for name in names)
            self._put(folder, path, changed, None if is_secret else document.plain())

    def files_changed(self, uris: Iterable[str]) -> None:
        """Take note that files on disk have changed."""
        by_folder: dict[str, list[str]] = {}
        for uri in uris:
            root, path = place_in(uri, [*self._folders])
            if root:
                by_folder.setdefault(root, []).append(path)
        for root, paths in by_folder.items():
            updater = self._folders[root].updater
            own = [path for path in paths if "/.git/" not in f"/{path}"]  # nor of those inside
            if updater is not None and own:
                updater.note_changes(own)

    def status(self) -> list[dict[str, Any]]:
        """Return what the user wants to know of each folder."""
        return [
            {"folder": folder.path.name}
            | (folder.updater.status() if folder.updater else {"state": "opening"})
            for folder in self._folders.values()
        ]

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End what is under way, waiting at most so long for each thread."""
        for folder in self._folders.values():
            self._drop(folder)
        for thread in self._opening:
            thread.join(timeout_s)
        for folder in self._folders.values():
            if folder.updater is not None:
                folder.updater.join(timeout_s)

    # --- on the engine's thread

    def index_of(self, uri: str) -> FolderIndex | None:
        """Return the index for a document that a suggestion is asked for."""
        place = self._places.get(uri)
        if place is None:  # it was closed meanwhile
            return None
        return self._index(place[0])

    # --- anywhere

    def _index(self, folder: _Folder | None) -> FolderIndex | None:
        if folder is None:
            return self._loose
        return folder.updater.index if folder.updater else None

    def _put(self, folder: _Folder | None, path: str, uri: str, text: str | None) -> None:
        """Hand over the text of a document, or take it away; an index still to come asks again."""
        if folder is None and self._loose is None:
            from assistant.index.folder_index import FolderIndex

            self._loose = FolderIndex()
        index = self._index(folder)
        if index is not None and text is None:
            index.close_open(uri)
        elif index is not None and text is not None:
            index.set_open(path, text, uri)

    def _open(self, folder: _Folder) -> None:
        settings = self._settings
        assert settings is not None
        try:
            shown = _ShownProgress(self._ask, self._send)
            report = shown.report if self._shows_progress else lambda *_: None
            updater = self._open_updater(folder.path, settings, report)
        except Exception as error:  # noqa: BLE001  suggestions go on without an index
            log.warning("index: not available: %s", describe(error))
            return
        with self._lock:
            folder.updater = updater
            self._touched.update(self._places)  # all of them: it has none of their texts
            if not folder.is_gone:
                updater.start()

    def _drop(self, folder: _Folder) -> None:
        with self._lock:
            folder.is_gone = True
            if folder.updater is not None:
                folder.updater.stop()


class _ShownProgress:
    """One folder's builds as the client shows them; only those that take a while report at all."""

    def __init__(self, ask: Ask, send: Send) -> None:
        self._ask = ask
        self._send = send
        self._lock = threading.Lock()
        self._n_builds = 0
        self._is_asked = False
        self._is_shown = False

    def report(self, n_bytes: int, of_bytes: int) -> None:
        """Show how far a build is; (0, 0) when it has ended."""
        with self._lock:
            if not of_bytes:
                self._end()
            elif self._is_shown:
                percentage = min(100, 100 * n_bytes // of_bytes)
                self._tell({"kind": "report", "percentage": percentage})
            elif not self._is_asked:
                self._is_asked = True
                self._n_builds += 1
                self._ask("window/workDoneProgress/create", {"token": self._token}, self._begin)

    @property
    def _token(self) -> str:
        return f"foretype-index-{id(self):x}-{self._n_builds}"

    def _begin(self, is_granted: bool) -> None:
        with self._lock:
            if is_granted and self._is_asked:  # it may have ended meanwhile
                self._is_shown = True
                begin = {"kind": "begin", "title": "foretype: reading the repository"}
                self._tell(begin | {"cancellable": False, "percentage": 0})

    def _end(self) -> None:
        if self._is_shown:
            self._tell({"kind": "end"})
        self._is_asked = self._is_shown = False

    def _tell(self, value: Mapping[str, Any]) -> None:
        self._send({"method": "$/progress", "params": {"token": self._token, "value": value}})
