"""Syntax trees: enclosing scopes, imports, the statement and the block that a cursor is in.

Offsets are code points; tree-sitter counts bytes, and only this file converts. Trees are walked
with cursors, never by recursion or by asking for parents, so deep nesting costs linear time. It
does not know windows or models. `parse` returns None where the text rules of `blocks` must do.
"""

import bisect
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter

from assistant.source import blocks
from assistant.source.brackets import LINE_COMMENT, PAIRS, scan
from assistant.source.languages import Language, grammar

MAX_PARSE_CHARS = 1_000_000
MAX_HEADER_LINES = 4  # of a scope's header; a longer one is cut to its first line
_DEFINITION_LINE = re.compile(
    r"\s*(?:(?:export|default|public|private|protected|static|abstract|final|async|unsafe|inline"
    r"|virtual|pub(?:\([a-z]+\))?)\s+)*"
    r"(?:(?:class|def|func|function|fn|impl|trait|mod|struct|enum|union|interface|namespace|type)\b"
    r"|(?!(?:if|for|while|switch|catch|else|return|do)\b)[\w$~][^=;]*\([^;]*\)[^;]*\{\s*$)"
)
_CHUNK_CHARS = 1_024  # between two known pairs of code point and byte offsets
PARSE_LIMIT_S = 1.0  # honest code of a megabyte takes less; hostile nesting takes minutes
_READ_BYTES = 65_536

BODY_KINDS = frozenset(
    {
        "block",
        "class_body",
        "compound_statement",
        "constructor_body",
        "declaration_list",
        "enum_body",
        "field_declaration_list",
        "interface_body",
        "module",
        "object_type",
        "program",
        "source_file",
        "statement_block",
        "statement_list",
        "switch_body",
        "translation_unit",
    }
)
_SEMICOLON_AFTER_BRACE = frozenset({"c", "cpp"})  # a class is not complete without it
_ROOT_KINDS = frozenset({"module", "program", "source_file", "translation_unit"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A node's kind and the offsets [start, end) of its text."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """A class, function or the like around a place; `header` holds the lines that open it."""

    kind: str  # the node's; "" where the text rules found it
    name: str  # "" where it has none
    header: str  # whole lines without the last line end
    header_start: int  # offset of the header's first line
    start: int
    end: int


class SyntaxTree:
    """A parsed text whose offsets are code points."""

    def __init__(self, text: str, language: Language, tree: tree_sitter.Tree, data: bytes) -> None:
        self.text = text
        self.language = language
        self.tree = tree
        self._data = data
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
        inside = self._data[self._starts[chunk] : byte]
        return chunk * _CHUNK_CHARS + len(inside.decode("utf-8", "surrogatepass"))

    def span(self, node: tree_sitter.Node) -> Span:
        """Return a node's kind and offsets."""
        return Span(
            kind=node.type,
            start=self.offset_of(node.start_byte),
            end=self.offset_of(node.end_byte),
        )

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

    def walk(self) -> Iterator[tuple[int, tree_sitter.Node]]:
        """Yield (depth, node) of every node in the order of the text."""
        cursor = self.tree.walk()
        depth = 0
        while True:
            if cursor.node is not None:
                yield depth, cursor.node
            if cursor.goto_first_child():
                depth += 1
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return
                depth -= 1


def parse(
    language: Language | None, text: str, *, limit_s: float = PARSE_LIMIT_S
) -> SyntaxTree | None:
    """Parse `text`, or return None where the text rules must do.

    That is for an unknown language, a grammar not installed, a text too long, or one that takes
    longer than `limit_s`.
    """
    if language is None or len(text) > MAX_PARSE_CHARS:
        return None
    known = grammar(language.name)
    if known is None:
        return None
    data = text.encode("utf-8", "surrogatepass")
    end_s = time.monotonic() + limit_s

    def read(byte: int, _point: object) -> bytes:
        return data[byte : byte + _READ_BYTES]

    def is_late(_byte: int, _has_error: bool) -> bool:
        return time.monotonic() > end_s

    try:
        tree = tree_sitter.Parser(known).parse(read, progress_callback=is_late)
    except ValueError:  # how the binding reports a parse that was given up
        return None
    return SyntaxTree(text, language, tree, data)


def scopes_at(tree: SyntaxTree, offset: int) -> tuple[Scope, ...]:
    """Return the scopes that hold the character at `offset`, the outermost first."""
    kinds = tree.language.scope_kinds
    return tuple(_scope(tree, node) for node in tree.path_to(offset) if node.type in kinds)


def open_scopes(text: str, offset: int, language: Language | None) -> tuple[Scope, ...]:
    """Return the scopes that are open at `offset`, whatever is half-typed there or follows.

    Where there is no tree, or the code above is too broken for one, indentation tells.
    """
    tree, place = head_tree(text, offset, language)
    return (tree is not None and scopes_at(tree, place)) or text_scopes(text, offset, language)


def text_scopes(text: str, offset: int, language: Language | None) -> tuple[Scope, ...]:
    """Return the lines above that are indented ever less, outermost first, as scopes.

    In a known language only those that look like a definition.
    """
    start = blocks.line_start(text, offset)
    columns = blocks.indent_columns(text[start : blocks.line_end(text, start)])
    scopes = []
    for above, line in blocks.lines_above(text, offset):
        if columns == 0:
            break
        if line.strip() and blocks.indent_columns(line) < columns:
            columns = blocks.indent_columns(line)
            if language is None or _DEFINITION_LINE.match(line):
                scope = Scope(
                    kind="",
                    name="",
                    header=line.rstrip(),
                    header_start=above,
                    start=above,
                    end=offset,
                )
                scopes.append(scope)
    return tuple(reversed(scopes))


def head_tree(
    text: str, offset: int, language: Language | None, *, limit_s: float = PARSE_LIMIT_S
) -> tuple[SyntaxTree | None, int]:
    """Parse what stands above the cursor's line as if it were a whole file.

    The cursor's line becomes a word at its indentation, whose offset is returned too, and the
    closers that are missing are put behind it.
    """
    start = blocks.line_start(text, offset)
    head = text[:start] + blocks.indent_of(text[start : blocks.line_end(text, start)])
    state = scan(text[:start], language)
    openers = [mark.char for mark in state.openers]
    word = "x"
    if language is not None and language.blocks == "brace" and openers[-1:] in ([], ["{"]):
        word = "x;"
    quote = "" if state.quote == LINE_COMMENT else state.quote
    closers = "".join(PAIRS[char] for char in reversed(openers))
    if language is not None and language.name in _SEMICOLON_AFTER_BRACE:
        closers = closers.replace("}", "};")
    return parse(language, f"{head}{word}{quote}\n{closers}", limit_s=limit_s), len(head)


def imports(tree: SyntaxTree) -> tuple[Span, ...]:
    """Return the import statements of the file's top level, in order."""
    kinds = tree.language.import_kinds
    cursor = tree.tree.walk()
    found = []
    more = cursor.goto_first_child()
    while more:
        if cursor.node is not None and cursor.node.type in kinds:
            found.append(tree.span(cursor.node))
        more = cursor.goto_next_sibling()
    return tuple(found)


def opens_block(text: str, offset: int, language: Language | None) -> bool:
    """Return whether the cursor opens, or stands in, a block that has no body yet."""
    return blocks.opened_block(text, offset, language) is not None


def statement_end(tree: SyntaxTree, offset: int) -> int:
    """Return where the innermost statement at `offset` ends; `offset` itself between statements."""
    path = tree.path_to(_touching(tree.text, offset))
    for above, node in zip(reversed(path[:-1]), reversed(path), strict=False):
        if above.type in BODY_KINDS and node.is_named:
            return max(offset, tree.span(node).end)
    return offset


def block_end(tree: SyntaxTree, offset: int) -> int:
    """Return where the innermost block at `offset` ends, closing brace included."""
    for node in reversed(tree.path_to(_touching(tree.text, offset))):
        if node.type in BODY_KINDS:
            end = len(tree.text) if node.type in _ROOT_KINDS else tree.span(node).end
            return max(offset, end)
    return len(tree.text)


def _touching(text: str, offset: int) -> int:
    """Return the offset of the character left of the cursor if that is where code is."""
    here = text[offset : offset + 1]
    if offset and (not here or here.isspace()) and not text[offset - 1].isspace():
        return offset - 1
    return offset


def _scope(tree: SyntaxTree, node: tree_sitter.Node) -> Scope:
    span = tree.span(node)
    body = node.child_by_field_name("body")
    header_start = blocks.line_start(tree.text, span.start)
    if body is None:
        header_end = blocks.line_end(tree.text, span.start)
    else:
        header_end = tree.offset_of(body.start_byte)
        header_end += tree.text[header_end : header_end + 1] == "{"
    header = tree.text[header_start:header_end].rstrip()
    if header.count("\n") >= MAX_HEADER_LINES:
        header = header.partition("\n")[0]
    return Scope(
        kind=node.type,
        name=_name(node),
        header=header,
        header_start=header_start,
        start=span.start,
        end=span.end,
    )


def _name(node: tree_sitter.Node) -> str:
    """Return what a scope is called: its name, an `impl`'s type, a C declarator's innermost."""
    for field in ("name", "type"):
        named = node.child_by_field_name(field)
        if named is not None and (field == "name" or node.type == "impl_item"):
            return (named.text or b"").decode("utf-8", "replace")
    named = node.child_by_field_name("declarator")
    while named is not None:
        inner = named.child_by_field_name("declarator")
        if inner is None:
            return (named.text or b"").decode("utf-8", "replace")
        named = inner
    for child in node.named_children:  # Go's `type X struct` holds its name one level down
        named = child.child_by_field_name("name")
        if named is not None and node.type == "type_declaration":
            return (named.text or b"").decode("utf-8", "replace")
    return ""
