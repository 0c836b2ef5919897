"""What the client has open, as pygls keeps it, with documents of our own.

Never reads a file. A document whose edit failed is broken: nothing is offered for it until its
full text comes again, since any offer would be about a text that the client does not have.
"""

import logging
from collections.abc import Callable, Sequence

from lsprotocol import types
from pygls import workspace as pygls_workspace

from lsp.document_paths import uri_key
from lsp.documents import Document
from lsp.positions import DEFAULT_ENCODING, Encoding

MAX_CHARS = 2_000_000  # of a document for which suggestions are made

log = logging.getLogger(__name__)


class Workspace(pygls_workspace.Workspace):
    """The client's state as it told us; used on the event loop only."""

    def __init__(
        self,
        roots: Sequence[str] = (),
        encoding: Encoding = DEFAULT_ENCODING,
        on_change: Callable[[str], None] = lambda uri: None,
        on_edited: Callable[[Document], None] = lambda document: None,
    ) -> None:
        """`roots` are URIs of folders; `on_change` is told before an edit, `on_edited` after it."""
        super().__init__(
            None,
            types.TextDocumentSyncKind.Incremental,
            [types.WorkspaceFolder(uri, "") for uri in roots],
            types.PositionEncodingKind(encoding),
        )
        self._on_change = on_change
        self._on_edited = on_edited

    @property
    def roots(self) -> list[str]:
        """URIs of the workspace folders."""
        return [folder.uri for folder in self.folders.values()]

    def opened(self, uri: str) -> Document | None:
        """Return the document if the client has it open."""
        document = self.text_documents.get(uri_key(uri))
        return document if isinstance(document, Document) else None

    def completable(self, uri: str) -> Document | None:
        """Return the document if suggestions can be made for it."""
        document = self.opened(uri)
        if document is None or not self.why_declined(uri):
            return document
        if document.n_chars > MAX_CHARS and not document.is_declined:
            document.is_declined = True
            log.warning("no suggestions for a document of %d characters", document.n_chars)
        return None

    def why_declined(self, uri: str) -> str:
        """Return why no suggestion can be made for a document; "" if one can."""
        document = self.opened(uri)
        if document is None:
            return "the editor has not opened this document here"
        if document.is_broken:
            return "an edit could not be followed: close the document and open it again"
        if document.n_chars > MAX_CHARS:
            return f"the document has over {MAX_CHARS} characters"
        return ""

    def distrust(self, uri: str) -> None:
        """Expect nothing of our copy of a document, which missed an edit."""
        if document := self.opened(uri):
            document.is_broken = True
        self._tell(uri)

    def put_text_document(
        self, text_document: types.TextDocumentItem, notebook_uri: str | None = None
    ) -> None:
        """Open a document; one that is open already is replaced."""
        self._tell(text_document.uri)
        self._text_documents[uri_key(text_document.uri)] = Document(
            text_document.uri,
            text_document.text,
            text_document.version,
            text_document.language_id,
            self.position_codec,
        )

    def update_text_document(
        self,
        text_doc: types.VersionedTextDocumentIdentifier,
        change: types.TextDocumentContentChangeEvent,
    ) -> None:
        """Apply one edit to an open document."""
        self._tell(text_doc.uri)
        document = self._text_documents[uri_key(text_doc.uri)]
        document.apply_change(change)
        document.version = text_doc.version
        if isinstance(document, Document):
            self._on_edited(document)

    def remove_text_document(self, doc_uri: str) -> None:
        """Close a document."""
        self._tell(doc_uri)
        self._text_documents.pop(uri_key(doc_uri), None)

    def _tell(self, uri: str) -> None:
        document = self.opened(uri)  # known by how its URI was spelled when it was opened
        self._on_change(document.uri if document else uri)
