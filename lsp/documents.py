"""The client's open documents, kept equal to the client's copy edit by edit.

A document is a list of lines with their ends, split where the protocol says: at LF, CRLF and
CR, nowhere else (pygls's own splits at form feeds and seven more, after which every later edit
lands one line too early). An edit re-splits only the lines that it touches.
Nothing here reads a file. A document whose edit failed is broken: nothing is offered for it until
its full text comes again. Knows text and positions; knows neither requests nor suggestions.

A client counts columns in UTF-8 bytes, UTF-16 units or code points, as agreed at `initialize`. One
inside a character is rounded down to its start, one past the end of the line to its end. All work
is done by codecs, so that a line of megabytes costs no Python loop.
"""

import io
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lsprotocol import types
from pygls import workspace as pygls_workspace
from pygls.workspace import TextDocument

from assistant.source.blocks import n_common
from lsp.document_paths import uri_key

MAX_CHARS = 2_000_000  # of a document for which suggestions are made
# Top bytes of the two halves of a character in UTF-16.
_HIGH, _LOW = range(0xD8, 0xDC), range(0xDC, 0xE0)

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """A document and a cursor in it at one version; safe to hand to another thread."""

    uri: str
    language: str
    text: str  # line ends are LF, lone surrogates are U+FFFD
    offset: int  # of the cursor in `text`, in code points
    row: int
    line: str  # the cursor's line as the client has it, without its end
    column: int  # of the cursor in `line`, in code points
    eol: str  # the document's own line end
    encoding: str  # in which the client counts


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends; the last one has none and may be empty.

    >>> split_lines("a\\r\\nb\\x0cc\\n")
    ['a\\r\\n', 'b\\x0cc\\n', '']
    """
    lines = list(io.StringIO(text, newline=""))
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def majority_eol(text: str) -> str:
    """Return the most frequent line end of `text`; LF if there is none."""
    if "\r" not in text:
        return "\n"
    n_crlf = text.count("\r\n")
    counts = {"\n": text.count("\n") - n_crlf, "\r\n": n_crlf, "\r": text.count("\r") - n_crlf}
    return max(counts, key=lambda eol: counts[eol])


def column_of(line: str, units: int, encoding: str) -> int:
    """Return the code point column for `units` of `encoding` in `line` (without its end)."""
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    if encoding == "utf-8":
        data = line.encode("utf-8", "surrogatepass")
        while 0 < units < len(data) and data[units] & 0xC0 == 0x80:
            units -= 1
        return len(data[:units].decode("utf-8", "surrogatepass"))
    data = line.encode("utf-16-le", "surrogatepass")
    end = 2 * units
    if 0 < end < len(data) and data[end - 1] in _HIGH and data[end + 1] in _LOW:
        end -= 2
    return len(data[:end].decode("utf-16-le", "surrogatepass"))


def units_of(line: str, column: int, encoding: str) -> int:
    """Return `column` code points of `line` in units of `encoding`."""
    if encoding == "utf-32" or line.isascii():
        return column
    if encoding == "utf-8":
        return len(line[:column].encode("utf-8", "surrogatepass"))
    return len(line[:column].encode("utf-16-le", "surrogatepass")) // 2


class Document(TextDocument):
    """One open document, as pygls keeps it up to date."""

    def __init__(
        self,
        uri: str,
        source: str = "",
        version: int | None = None,
        language_id: str | None = None,
        encoding: str = "utf-16",
    ) -> None:
        super().__init__(uri, "", version, language_id)
        self.encoding = encoding  # in which the client counts columns
        self.is_broken = False  # an edit failed: our copy is not the client's until a full text
        self.is_declined = False  # too large for suggestions, and said so
        self._sends_ranges = False  # the client; some only ever send whole texts
        # of the last edit: first row, old and new lines without ends; None for a text put in place
        self.last_change: tuple[int, list[str], list[str]] | None = None
        self.last_column: int | None = None  # behind its one character, if it was one: a key
        self._set(source)

    @property
    def source(self) -> str:
        """The text as the client has it; never read from a file."""
        return "".join(self._lines)

    @property
    def lines(self) -> Sequence[str]:
        """The lines with their ends, for what pygls itself computes."""
        return self._lines

    def apply_change(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Apply one edit to the result of the one before."""
        try:
            if isinstance(change, types.TextDocumentContentChangePartial):
                self._sends_ranges = True
                if not self.is_broken:
                    self._splice(change.range, change.text)
                return
            old, is_typed = self._lines, not (self._sends_ranges or self.is_broken)
            self._set(change.text)
            self.is_broken = False
            if is_typed:
                self._compare(old)
        except Exception:
            self.is_broken = True
            raise

    def snapshot(self, position: types.Position) -> Snapshot:
        """Freeze the document with the cursor at `position`, clamped to the text."""
        row, column = self._place(position)
        text, eol = self._plain_text()
        before = "".join(self._lines[:row])  # a third of the time of summing up lengths
        return Snapshot(
            uri=self.uri,
            language=self.language_id or "",
            text=text,
            offset=len(_with_lf(before)) + column,
            row=row,
            line=_without_end(self._lines[row]),
            column=column,
            eol=eol,
            encoding=self.encoding,
        )

    def plain(self) -> str:
        """Return the text as the engine wants it."""
        return self._plain_text()[0]

    def line_at(self, row: int) -> str:
        """Return a line without its end; "" where there is none."""
        return _without_end(self._lines[row]) if 0 <= row < len(self._lines) else ""

    @property
    def eol(self) -> str:
        """The document's own line end."""
        return self._plain_text()[1]

    def _set(self, text: str) -> None:
        self.last_change = self.last_column = None
        self._lines = split_lines(_join_surrogates(text))
        self.n_chars = sum(map(len, self._lines))  # line ends included
        self._plain: tuple[str, str] | None = None

    def _compare(self, old: Sequence[str]) -> None:
        """Find what was changed in a whole text."""
        new = self._lines
        first = n_common(old, new)
        n_last = min(n_common(old[::-1], new[::-1]), len(old) - first, len(new) - first)
        removed, added = (
            [*map(_without_end, lines[first : len(lines) - n_last])] for lines in (old, new)
        )
        self.last_change = first, removed, added
        if len(removed) == len(added) == 1:
            (was,), (now,) = removed, added
            column = n_common(was, now)
            if now[:column] + now[column + 1 :] == was:
                self.last_column = column + 1

    def _splice(self, span: types.Range, text: str) -> None:
        # A range given backwards means the same range: so do the reference implementations.
        (row, column), (end_row, end_column) = sorted(
            (self._place(span.start), self._place(span.end))
        )
        changed = self._lines[row][:column] + text + self._lines[end_row][end_column:]
        if row > 0 and changed.startswith("\n") and self._lines[row - 1].endswith("\r"):
            row -= 1  # that lone CR becomes CRLF
            changed = self._lines[row] + changed
        lines = split_lines(_join_surrogates(changed))
        if lines[-1] == "" and end_row + 1 < len(self._lines):
            lines.pop()  # what follows the last line end is the next line
        removed = self._lines[row : end_row + 1]
        self._lines[row : end_row + 1] = lines
        self.n_chars += sum(map(len, lines)) - sum(map(len, removed))
        self.last_change = row, [*map(_without_end, removed)], [*map(_without_end, lines)]
        is_key = len(text) == 1 and text != "\n"
        self.last_column = column + 1 if is_key else None
        self._plain = None

    def _place(self, position: types.Position) -> tuple[int, int]:
        """Return (row, column in code points); beyond the end means the end."""
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        line = _without_end(self._lines[position.line])
        return position.line, column_of(line, position.character, self.encoding)

    def _plain_text(self) -> tuple[str, str]:
        """Return the text as the engine wants it and the document's line end."""
        if self._plain is None:
            source = self.source
            text = _with_lf(source)
            self._plain = _join_surrogates(text, "replace"), majority_eol(source)
        return self._plain


def _without_end(line: str) -> str:
    return line.rstrip("\r\n")


def _with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _join_surrogates(text: str, lone: str = "surrogatepass") -> str:
    """Make one character of two halves that different edits brought together.

    `lone` says how to decode a half that is alone; "replace" makes it U+FFFD.
    """
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", lone)
    return text


class Workspace(pygls_workspace.Workspace):
    """The client's state as it told us; used on the event loop only."""

    def __init__(
        self,
        roots: Sequence[str] = (),
        encoding: str = "utf-16",
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
        self._encoding = encoding
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
            self._encoding,
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
