"""Where the documents are that suggestions were asked for: the engine knows them by short paths.

Who decides whether a file may leave this machine needs the file itself. Used from several threads.
"""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from urllib.parse import unquote, urlsplit

MAX_PLACES = 256


class DocumentPaths:
    """The last few documents, by the path that the engine is told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, str] = OrderedDict()

    def note(self, path: str, uri: str) -> None:
        """Remember that the document `uri` is called `path`."""
        with self._lock:
            self._known[path] = uri
            self._known.move_to_end(path)
            while len(self._known) > MAX_PLACES:
                self._known.popitem(last=False)

    def locate(self, path: str) -> Path | None:
        """Return the file of a document; None if it is none on this machine, or not known."""
        with self._lock:
            uri = self._known.get(path, "")
        return local_path(uri)


def local_path(uri: str) -> Path | None:
    """Return the file or folder of a URI; None if it is none on this machine."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    place = Path(_path_of(parts.path))
    return place if place.is_absolute() else None


def _path_of(url_path: str) -> str:
    if os.name != "nt":
        return unquote(url_path)
    from urllib.request import url2pathname  # imports much: not where nobody needs it

    return url2pathname(url_path)
