"""What the client has open: documents by URI, and the workspace folders.

Follows the client's notifications, never reads a file. A document whose edit failed is broken:
nothing is offered for it until its full text comes again, since any offer would be about a text
that the client does not have.
"""

import logging
from typing import Any

from lsp.documents import Document
from lsp.params import BadParamsError, changes_at, integer_at, member, optional, text_at
from lsp.positions import DEFAULT_ENCODING, Encoding

MAX_CHARS = 2_000_000  # of a document for which suggestions are made

log = logging.getLogger(__name__)


class Workspace:
    """The client's state as it told us; used on the reading thread only."""

    def __init__(self) -> None:
        self.encoding: Encoding = DEFAULT_ENCODING
        self.roots: list[str] = []  # URIs
        self.documents: dict[str, Document] = {}
        self._declined: set[str] = set()  # too large, and said so

    def read_roots(self, params: Any) -> None:
        """Take the folders from the parameters of `initialize`."""
        folders = optional(params, "workspaceFolders")
        uris = [optional(item, "uri") for item in folders] if isinstance(folders, list) else []
        uris = uris or [optional(params, "rootUri") or optional(params, "rootPath")]
        self.roots = [uri for uri in uris if isinstance(uri, str) and uri]

    def change_roots(self, params: Any) -> None:
        """Follow workspace/didChangeWorkspaceFolders."""
        event = member(params, "event")
        removed = {optional(item, "uri") for item in optional(event, "removed") or ()}
        added = [text_at(item, "uri") for item in optional(event, "added") or ()]
        self.roots = [uri for uri in self.roots if uri not in removed] + added

    def open(self, params: Any) -> str:
        """Follow textDocument/didOpen; opening twice replaces. Returns the URI."""
        item = member(params, "textDocument")
        uri = text_at(item, "uri")
        language = optional(item, "languageId")
        self.documents[uri] = Document(
            uri,
            language if isinstance(language, str) else "",
            integer_at(item, "version"),
            text_at(item, "text"),
        )
        return uri

    def change(self, params: Any) -> str:
        """Follow textDocument/didChange. Returns the URI."""
        uri = text_at(params, "textDocument", "uri")
        document = self.documents.get(uri)
        if document is None:
            raise BadParamsError("a change of a document that is not open")
        try:
            version = integer_at(params, "textDocument", "version")
            document.apply(changes_at(params), version, self.encoding)
        except Exception:
            document.is_broken = True
            raise
        return uri

    def close(self, params: Any) -> str:
        """Follow textDocument/didClose. Returns the URI."""
        uri = text_at(params, "textDocument", "uri")
        self.documents.pop(uri, None)
        self._declined.discard(uri)
        return uri

    def completable(self, uri: str) -> Document | None:
        """Return the document if suggestions can be made for it."""
        document = self.documents.get(uri)
        if document is None or document.is_broken:
            return None
        if document.n_chars > MAX_CHARS:
            if uri not in self._declined:
                self._declined.add(uri)
                log.warning("no suggestions for a document of %d characters", document.n_chars)
            return None
        return document
