"""What the grammar says at a cursor: the trees of open documents, and which lines may go on there.

The tree is of what stands above the cursor's line, kept from key to key: typing in a line leaves it
as it is; going to another line parses what has changed. A document is parsed when something asks
for its tree, never before; one that is too large or too slow to parse has none, and text rules do.

A text is valid as long as something can follow it that makes the file whole, so a line that is
half-typed, or a block that is open, is no mistake. The parser says at which token it gives up;
the tree that it makes of a broken text does not tell. Earlier statements of the blocks around the
cursor are folded away, so a check costs the same in long files.
"""

import functools
import re
import threading
from itertools import pairwise
from typing import cast

import tree_sitter

from assistant.request import CompletionRequest
from assistant.source import blocks
from assistant.source.brackets import LINE_COMMENT, scan
from assistant.source.languages import Language, grammar, language_of
from assistant.source.syntax import BODY_KINDS, Head, SyntaxTree, parse_head, point_of
from model.lru import LRU

MAX_FOLDED_BYTES = 8_000
KEPT_SIBLINGS = 2  # before the cursor's statement: `else` and decorators need them
MAX_CHARS = 1_500  # of the line, or of several
MAX_STEPS = 200  # some hundred operations of the parser each
_PROCESS = re.compile(r"process version:\d+, version_count:\d+, state:\d+, row:(\d+), col:(\d+)")
# A token whose rest was cut off: an operator, a character literal.
_HALF_TOKEN = re.compile(r"[-+*/%&|^~!<>=:?.@#\\]{1,2}|b?'.{0,4}")
MAX_HEAD_CHARS = 200_000
KEPT_DOCUMENTS = 4
LIMIT_S = 0.1  # CPU time: 2,000 lines take 0.01
_STRING_START = re.compile(r"[A-Za-z]{0,2}#*(\"{3}|'{3}|[\"'`])")
_PLACEHOLDERS = frozenset({"interpolation", "template_substitution"})


class LineSyntax:
    """The code above one line, folded and parsed; judges what is typed or suggested there."""

    def __init__(self, head: Head) -> None:
        """Take what stands above the line; it has a tree."""
        tree = cast(SyntaxTree, head.tree)
        self._language = tree.language
        self._above = _fold(tree, len(head.text.encode("utf-8", "surrogatepass")), head.place)
        name = "cpp" if tree.language.name == "c" else tree.language.name  # headers are of both
        known = cast(tree_sitter.Language, grammar(name))
        self._parser, self._keywords = tree_sitter.Parser(known), _keywords(known)
        is_judged = len(self._above) <= MAX_FOLDED_BYTES and not head.state.quote
        self._tree = self._parser.parse(self._above) if is_judged else None

    def n_valid(self, before: str, text: str) -> int:
        """Return how many characters of `text` may stand behind `before`, the line so far.

        All of them where nothing can be said: in a string, in a preprocessor's line, behind
        something that is broken without the text.
        """
        line = before + text
        if self._tree is None or len(line) > MAX_CHARS or _is_opaque(line, self._language):
            return len(text)
        found = self._error_at(line, self._tree)
        if found is None or self._may_be_half(line[max(0, found) :].strip()):
            return len(text)
        without = before if found >= 0 else before[: len(before) - len(before.lstrip())] + "x"
        if self._error_at(without, self._tree) is not None:
            return len(text)
        return max(0, found - len(before))

    def _may_be_half(self, token: str) -> bool:
        """Say whether more characters could make another token of the line's last one."""
        return bool(_HALF_TOKEN.fullmatch(token)) or (
            token.isalpha() and any(word.startswith(token) for word in self._keywords)
        )

    def _error_at(self, line: str, tree: tree_sitter.Tree) -> int | None:
        """Return where in `line` stands what cannot follow; None if all of it can.

        That is behind the last token that fits: -1 if that stands above the line.
        """
        data = self._above + line.rstrip().encode("utf-8", "surrogatepass")
        start = point_of(self._above, len(self._above))
        old = tree.copy()
        old.edit(
            len(self._above), len(self._above), len(data), start, start, point_of(data, len(data))
        )
        log = _FirstError()
        self._parser.logger = log
        try:
            self._parser.parse(lambda at, _: data[at:], old, progress_callback=log.is_over)
        except ValueError:  # how the binding reports a parse that was given up
            self._parser.reset()
        finally:
            del self._parser.logger
        if log.place is None:
            return None
        row, column = log.place
        rows = data.split(b"\n")
        at = sum(map(len, rows[:row])) + row + column
        if at >= len(data):
            return None  # only the end is missing
        if at < len(self._above):
            return None if data[at : len(self._above)].strip() else -1
        return len(data[len(self._above) : at].decode("utf-8", "ignore"))


class _FirstError:
    """Reads the parser's log for where it first had no way to go on.

    A version of the stack that meets a token it does not know is paused; an error is what leaves no
    other version, and a paused one is resumed.
    """

    def __init__(self) -> None:
        self.place: tuple[int, int] | None = None  # row, column in bytes: end of the last token
        self._at = self._furthest = (0, 0)
        self._n_steps = 0

    def __call__(self, kind: tree_sitter.LogType, message: str) -> None:
        if kind != tree_sitter.LogType.PARSE or self.place is not None:
            return
        if message.startswith("process "):
            found = _PROCESS.match(message)
            if found is not None:
                self._at = int(found[1]), int(found[2])
        elif message.startswith("detect_error"):
            self._furthest = max(self._furthest, self._at)
        elif message.startswith("resume "):
            self.place = self._furthest

    def is_over(self, _byte: int, _has_error: bool) -> bool:
        """Say whether the parser may stop: after the first error, or in hostile nesting."""
        self._n_steps += 1
        return self.place is not None or self._n_steps > MAX_STEPS


@functools.cache
def _keywords(known: tree_sitter.Language) -> tuple[str, ...]:
    """Return a grammar's words that are no names."""
    kinds = range(known.node_kind_count)
    words = (known.node_kind_for_id(kind) for kind in kinds if not known.node_kind_is_named(kind))
    return tuple(word for word in words if word is not None and word.isalpha())


def _is_opaque(line: str, language: Language) -> bool:
    """Say whether a grammar cannot judge a line: an open string, a preprocessor's directive."""
    if language.name in ("c", "cpp") and line.lstrip().startswith("#"):
        return True
    return scan(line, language).quote not in ("", LINE_COMMENT)


def _fold(tree: SyntaxTree, n_bytes: int, place: int) -> bytes:
    """Return the first bytes of a tree's text without what the blocks around `place` begin with."""
    pieces, at = [], 0
    for body, child in pairwise(tree.path_to(place)):
        if body.type not in BODY_KINDS or not body.named_children:
            continue
        kept: tree_sitter.Node = child
        n_kept = 0
        while n_kept < KEPT_SIBLINGS and kept.prev_named_sibling is not None:
            kept = kept.prev_named_sibling
            n_kept += "comment" not in kept.type
        first = body.named_children[0]
        start = tree.data.rfind(b"\n", 0, first.start_byte) + 1
        if start < body.start_byte and body.start_byte > 0:
            start = first.start_byte
        end = tree.data.rfind(b"\n", 0, kept.start_byte) + 1
        if at <= start < end:
            pieces.append(tree.data[at:start])
            at = end
    return b"".join([*pieces, tree.data[at:n_bytes]])


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
        start = head.tree.offset_of(node.start_byte)
        if not start < place < head.tree.offset_of(node.end_byte):
            continue
        if node.type in _PLACEHOLDERS:
            break
        if "comment" in node.type:
            is_block = not head.text.startswith(head.tree.language.comment, start)
            return ("*/", start) if is_block else ("", 0)
        opener = _STRING_START.match(head.text, start) if "string" in node.type else None
        if opener is not None:
            return opener[1], start
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
