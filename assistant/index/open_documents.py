"""The text of open documents as it is now, searched without an index.

A document is handed over by reference and prepared when it is first searched, away from whoever
handed it over: what is typed in one document is found from another at once. Secrets are replaced as
they are in the index, paragraph by paragraph, so that an edit costs one paragraph; what may be a
secret in the making is left out, where the last edit was. Knows no file.
"""

import threading
from dataclasses import dataclass, field

from assistant.index.matches import TextSource
from assistant.index.segment import END
from assistant.privacy.redaction import redact, spans_paragraphs
from assistant.privacy.unfinished import edited_at, without_open_secret

MAX_CHARS = 1_000_000  # of a document that is searched
_BREAK = "\n\n"  # few secrets go across


@dataclass(slots=True)
class _Document:
    path: str
    text: str
    before: str  # the last edit
    prepared: bytes | None = None
    paragraphs: dict[str, bytes] = field(default_factory=dict)  # as they were prepared before


class OpenDocuments:
    """The documents open in an editor; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, _Document] = {}

    def put(self, path: str, text: str, document: str = "") -> None:
        """Take the text of a document, by default the only one of its path; instant."""
        with self._lock:
            old = self._documents.get(document or path)
            if old is None:
                self._documents[document or path] = _Document(path, text, "")
            elif (old.path, old.text) != (path, text):
                new = _Document(path, text, old.text, paragraphs=old.paragraphs)
                self._documents[document or path] = new

    def remove(self, document: str) -> None:
        """Forget a document."""
        with self._lock:
            self._documents.pop(document, None)

    def paths(self) -> list[str]:
        """Return which files are open."""
        with self._lock:
            return [document.path for document in self._documents.values()]

    def sources(self, context: bytes, *, but: str) -> list[TextSource]:
        """Return the places in each document but one."""
        with self._lock:
            others = [other for document, other in self._documents.items() if document != but]
        return [
            TextSource(_prepare(other), context, path=other.path, layer="open") for other in others
        ]


def _prepare(document: _Document) -> bytes:
    if document.prepared is None:
        text = document.text
        if len(text) > MAX_CHARS:
            document.prepared = b""
        else:
            text = without_open_secret(text, edited_at(document.before, text))
            document.prepared = _as_searched(text, document)
        document.before = ""  # no longer needed
    return document.prepared


def _as_searched(text: str, document: _Document) -> bytes:
    if spans_paragraphs(text):
        return encode_text(redact(text)[0])
    text = text.replace("\r\n", "\n") if "\r" in text else text
    known = document.paragraphs
    pieces = text.split(_BREAK)
    document.paragraphs = {
        piece: known.get(piece) or encode_text(redact(piece)[0]) for piece in dict.fromkeys(pieces)
    }
    return _BREAK.encode().join([document.paragraphs[piece] for piece in pieces])


def encode_text(text: str) -> bytes:
    """Return a text as it is searched: UTF-8 with LF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    data = text.encode("utf-8", "replace")
    assert END not in data
    return data
