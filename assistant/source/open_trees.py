"""The trees of open documents: of what stands above the cursor's line, kept from key to key.

Typing in a line leaves its tree as it is; going to another line parses what has changed. A document
is parsed when something asks for its tree, never before; one that is too large or too slow to parse
has none, and text rules do.
"""

from __future__ import annotations

import re
import threading

from assistant.request import CompletionRequest
from assistant.source import blocks
from assistant.source.brackets import LINE_COMMENT, scan
from assistant.source.languages import Language, language_of
from assistant.source.line_syntax import LineSyntax
from assistant.source.syntax import Head, parse_head
from model.lru import LRU

MAX_HEAD_CHARS = 200_000
KEPT_DOCUMENTS = 4
LIMIT_S = 0.1  # CPU time: 2,000 lines take 0.01
_STRING_START = re.compile(r"[A-Za-z]{0,2}#*(\"{3}|'{3}|[\"'`])")
_PLACEHOLDERS = frozenset({"interpolation", "template_substitution"})


class OpenTrees:
    """What stands above the cursor's line in open documents, parsed; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # held while a parser is at work: it may not be shared
        self._heads: LRU[tuple[str, str], Head] = LRU(KEPT_DOCUMENTS)
        self._line: tuple[Head, LineSyntax] | None = None

    def head(self, request: CompletionRequest) -> Head | None:
        """Return what stands above the cursor's line, with a tree; None without one."""
        language = language_of(request.path, request.language)
        start = blocks.line_start(request.text, request.offset)
        if language is None or start > MAX_HEAD_CHARS:
            return None
        with self._lock:
            key = request.document, language.name
            kept = self._heads.use(key)
            if kept is not None and _is_same(kept, request, start):
                return kept
            head = parse_head(request.text, request.offset, language, limit_s=LIMIT_S, before=kept)
            self._heads.put(key, head)
            return head

    def valid(self, request: CompletionRequest, text: str) -> str:
        """Return the longest beginning of `text` that may stand at the cursor by syntax.

        Of several lines whole ones, where more than the first may.
        """
        with self._lock:
            head = self.head(request)
            if head is None or head.tree is None:
                return text
            kept = self._line
            if kept is None or kept[0] is not head:
                kept = self._line = head, LineSyntax(head)
            before = request.text[len(head.text) : request.offset]
            n_valid = kept[1].n_valid(before, text)
        if n_valid < len(text) and "\n" in text[:n_valid]:
            n_valid = text.rindex("\n", 0, n_valid)
        return text[:n_valid]

    def scope(self, request: CompletionRequest) -> str:
        """Return what the cursor is in: "code", "comment", "docstring" or "string"."""
        text, offset = request.text, request.offset
        language = language_of(request.path, request.language)
        start = blocks.line_start(text, offset)
        head = self.head(request)
        if head is None:
            state, at = blocks.scan_before(text, offset, language, is_top=True)[0], -1
        else:
            quote, at = _open_at_end(head)
            state = scan(text[start:offset], language, quote)
            if not quote or state.unquoted_at is not None:
                at = start + state.quote_at
        if not state.quote:
            return "code"
        if state.quote in (LINE_COMMENT, "*/"):
            return "comment"
        return "docstring" if at >= 0 and _is_docstring(text, at, language) else "string"


def _open_at_end(head: Head) -> tuple[str, int]:
    """Return what ends the string or comment that a line begins in, and where that begins."""
    if head.tree is None:
        return head.state.quote, head.state.quote_at
    place = len(head.text)
    for node in reversed(head.tree.path_to(place)):
        span = head.tree.span(node)
        if not span.start < place < span.end:
            continue
        if node.type in _PLACEHOLDERS:
            break
        if "comment" in node.type:
            is_block = not head.text.startswith(head.tree.language.comment, span.start)
            return ("*/", span.start) if is_block else ("", 0)
        opener = _STRING_START.match(head.text, span.start) if "string" in node.type else None
        if opener is not None:
            return opener[1], span.start
    return "", 0


def _is_docstring(text: str, at: int, language: Language | None) -> bool:
    """Say whether the string at `at` stands alone where a file, class or function begins."""
    if language is None or language.blocks != "indent":
        return False
    before = text[blocks.line_start(text, at) : at].strip(" \trRuU")
    above = next((line for _, line in blocks.lines_above(text, at) if line.strip()), ":")
    return not before and (above.rstrip().endswith(":") or above.startswith("#"))


def _is_same(head: Head, request: CompletionRequest, start: int) -> bool:
    text = request.text
    if head.tree is None:  # too slow: not tried again until there is far less of it
        return 2 * start > len(head.text)
    indent = blocks.indent_of(text[start : blocks.line_end(text, start)])
    return len(head.text) == start and text.startswith(head.text) and head.indent == indent
