"""The text of open documents as it is now, searched without an index.

A document is handed over by reference and prepared when it is first searched, away from whoever
handed it over: what is typed in one document is found from another at once. Secrets are replaced
as they are in the index. Knows no file.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from assistant.memory.matches import TextSource
from assistant.memory.segment import END
from assistant.redaction import redact

MAX_CHARS = 1_000_000  # of a document that is searched


@dataclass(slots=True)
class _Document:
    text: str
    prepared: bytes | None = None


class OpenDocuments:
    """The documents open in an editor; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, _Document] = {}

    def put(self, path: str, text: str) -> None:
        """Take the text of a document; instant."""
        with self._lock:
            self._documents[path] = _Document(text)

    def remove(self, path: str) -> None:
        """Forget a document."""
        with self._lock:
            self._documents.pop(path, None)

    def paths(self) -> list[str]:
        """Return which documents are open."""
        with self._lock:
            return list(self._documents)

    def sources(self, context: bytes, *, but: str) -> Iterable[TextSource]:
        """Yield the places in each document but one."""
        with self._lock:
            documents = [(path, item) for path, item in self._documents.items() if path != but]
        for path, document in documents:
            yield TextSource(_prepared(document), context, path=path, layer="open")


def _prepared(document: _Document) -> bytes:
    if document.prepared is None:
        fits = len(document.text) <= MAX_CHARS
        document.prepared = encoded(redact(document.text)[0]) if fits else b""
    return document.prepared


def encoded(text: str) -> bytes:
    """Return a text as it is searched: UTF-8 with LF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    data = text.encode("utf-8", "replace")
    assert END not in data
    return data
