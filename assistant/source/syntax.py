"""Syntax trees of whole texts, and of what stands above a line.

Offsets are code points; tree-sitter counts bytes, and only this file converts. A tree is gone
through with a cursor, never by recursion or by asking for parents, so deep nesting costs linear
time. `parse` returns None where the text rules of `blocks` must do.
"""

import bisect
import time
from typing import NamedTuple

import tree_sitter

from assistant.source import blocks
from assistant.source.brackets import LINE_COMMENT, PAIRS, Scan, scan, scan_on
from assistant.source.languages import Language, grammar

MAX_PARSE_CHARS = 1_000_000
_CHUNK_CHARS = 1_024  # between two known pairs of code point and byte offsets
PARSE_LIMIT_S = 1.0  # honest code of a megabyte takes less; hostile nesting takes minutes
_READ_BYTES = 65_536

BODY_KINDS = frozenset(
    "block class_body compound_statement constructor_body declaration_list enum_body"
    " field_declaration_list interface_body module object_type program source_file statement_block"
    " statement_list switch_body translation_unit".split()
)
_SEMICOLON_AFTER_BRACE = frozenset({"c", "cpp"})  # a class is not complete without it


class SyntaxTree:
    """A parsed text whose offsets are code points."""

    def __init__(self, text: str, language: Language, tree: tree_sitter.Tree, data: bytes) -> None:
        self.text = text
        self.language = language
        self.tree = tree
        self.data = data
        self._starts: list[int] | None = None
        if len(data) != len(text):
            self._starts = [0]
            for low in range(0, len(text), _CHUNK_CHARS):
                chunk = text[low : low + _CHUNK_CHARS].encode("utf-8", "surrogatepass")
                self._starts.append(self._starts[-1] + len(chunk))

    def byte_of(self, offset: int) -> int:
        """Return the byte offset of a code point offset."""
        if self._starts is None:
            return offset
        chunk = offset // _CHUNK_CHARS
        inside = self.text[chunk * _CHUNK_CHARS : offset]
        return self._starts[chunk] + len(inside.encode("utf-8", "surrogatepass"))

    def offset_of(self, byte: int) -> int:
        """Return the code point offset of a byte offset at a character's border."""
        if self._starts is None:
            return byte
        chunk = min(bisect.bisect_right(self._starts, byte), len(self._starts) - 1) - 1
        inside = self.data[self._starts[chunk] : byte]
        return chunk * _CHUNK_CHARS + len(inside.decode("utf-8", "surrogatepass"))

    def path_to(self, offset: int) -> list[tree_sitter.Node]:
        """Return the nodes that hold the character at `offset`, the root first."""
        byte = self.byte_of(offset)
        cursor = self.tree.walk()
        path = [self.tree.root_node]
        while cursor.goto_first_child_for_byte(byte) is not None:
            node = cursor.node
            if node is None or node.start_byte > byte:
                break
            path.append(node)
        return path


def parse(
    language: Language | None,
    text: str,
    *,
    limit_s: float = PARSE_LIMIT_S,
    before: SyntaxTree | None = None,
) -> SyntaxTree | None:
    """Parse `text`, or return None where the text rules must do.

    That is for an unknown language, a grammar not installed, a text too long, or one that takes
    more CPU time than `limit_s`. What is as in the tree `before` is not parsed again.
    """
    if language is None or len(text) > MAX_PARSE_CHARS:
        return None
    known = grammar(language.name)
    if known is None:
        return None
    data = text.encode("utf-8", "surrogatepass")
    end_s = time.thread_time() + limit_s
    old = _edited(before, data) if before is not None and before.language is language else None

    def read(byte: int, _point: object) -> bytes:
        return data[byte : byte + _READ_BYTES]

    def is_late(_byte: int, _has_error: bool) -> bool:
        return time.thread_time() > end_s

    parser = tree_sitter.Parser(known)
    try:
        if old is None:
            tree = parser.parse(read, progress_callback=is_late)
        else:
            tree = parser.parse(read, old, progress_callback=is_late)
    except ValueError:  # how the binding reports a parse that was given up
        return None
    return SyntaxTree(text, language, tree, data)


def _edited(before: SyntaxTree, data: bytes) -> tree_sitter.Tree:
    """Return a copy of a tree that knows which bytes are no longer as they were."""
    old = before.data
    start = blocks.n_common(old, data)
    end = blocks.n_common(old[start:][::-1], data[start:][::-1])
    tree = before.tree.copy()
    old_end, new_end = len(old) - end, len(data) - end
    tree.edit(
        start,
        old_end,
        new_end,
        point_of(old, start),
        point_of(old, old_end),
        point_of(data, new_end),
    )
    return tree


def point_of(data: bytes, at: int) -> tuple[int, int]:
    """Return the row and the column of a byte."""
    return data.count(b"\n", 0, at), at - data.rfind(b"\n", 0, at) - 1


class Head(NamedTuple):
    """What stands above a line, as if it were a whole file."""

    text: str
    indent: str  # of the line
    state: Scan  # what is open at its end
    tree: SyntaxTree | None  # of the text, a word at the line's place, and the closers it wants
    place: int  # of that word


def parse_head(
    text: str,
    offset: int,
    language: Language | None,
    *,
    limit_s: float = PARSE_LIMIT_S,
    before: Head | None = None,
) -> Head:
    """Parse what stands above the cursor's line; `before`, of the same document, saves work."""
    start = blocks.line_start(text, offset)
    head, indent = text[:start], blocks.indent_of(text[start : blocks.line_end(text, start)])
    if before is not None and head.startswith(before.text):
        state = scan_on(before.state, head[len(before.text) :], language)
    else:
        state = scan(head, language)
    openers = [mark.char for mark in state.openers]
    word = "x"
    if language is not None and language.blocks == "brace" and openers[-1:] in ([], ["{"]):
        word = "x;"
    quote = "" if state.quote == LINE_COMMENT else state.quote
    closers = "".join(PAIRS[char] for char in reversed(openers))
    if language is not None and language.name in _SEMICOLON_AFTER_BRACE:
        closers = closers.replace("}", "};")
    whole = f"{head}{indent}{word}{quote}\n{closers}"
    tree = parse(language, whole, limit_s=limit_s, before=before.tree if before else None)
    return Head(text=head, indent=indent, state=state, tree=tree, place=start + len(indent))
