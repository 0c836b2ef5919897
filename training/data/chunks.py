"""One document in lines and tokens: which lines fit, and where a stretch of them is cut.

Cut into prefix, middle and suffix, as a person's cursor would: the kind of hole is drawn first.
Where there is a syntax tree it says what a statement, a block or an argument list is; where there
is none, or none is met, the look of the lines must do. Knows no row.
"""

import bisect
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assistant.source.syntax import SyntaxTree
from model import fim
from model.tokenizer import Tokenizer
from training.data import spans
from training.data.corpus import Document
from training.data.spans import LONGEST_CHARS, Span, SyntaxPart, TextLines, tree_of

# What takes the place of a kind where syntax has no answer.
TEXT_KINDS: Mapping[str, Callable[[TextLines, np.random.Generator], Span | None]] = {
    "rest_of_line": spans.rest_of_line,
    "statement": spans.whole_lines,
    "block": spans.block,
    "arguments": spans.rest_of_line,
    "expression": spans.rest_of_line,
    "characters": spans.characters,
}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # str.splitlines would split at form feeds, too
_MAX_HEADER_TOKENS = 80
_LATE_CUT_FRAC = 0.5  # of the cuts: the later of two, for prefixes nearly as long as in serving
_CUTS = 4  # at most, to find a hole whose end can be seen


class InfillParts(NamedTuple):
    """A text in three; prefix + middle + suffix is the text."""

    prefix: str
    middle: str
    suffix: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SpanShares:
    """How often each kind of hole is cut; together 1."""

    rest_of_line: float = 0.30  # what is asked most while typing
    statement: float = 0.25  # one or a few of them
    block: float = 0.20  # a body
    arguments: float = 0.10  # or parameters
    expression: float = 0.05
    characters: float = 0.10  # any, for cursors in the middle of anything

    @property
    def by_syntax(self) -> float:
        """The share of holes for which a tree is asked first."""
        return float(sum(getattr(self, kind) for kind in spans.KINDS))

    def draw(self, rng: np.random.Generator) -> str:
        """Return the name of a kind."""
        draw = rng.random()
        for name in TEXT_KINDS:
            draw -= getattr(self, name)
            if draw < 0:
                return name
        return "characters"


def cut_hole(
    text: str, rng: np.random.Generator, shares: SpanShares, syntax: SyntaxPart | None = None
) -> InfillParts:
    """Choose a kind of hole and a place for it; every draw comes from `rng`."""
    if not text:
        return InfillParts("", "", "")
    kind = shares.draw(rng)
    span = syntax.hole(kind, rng) if syntax is not None and kind in spans.KINDS else None
    if span is None:
        lines = TextLines(text)
        span = TEXT_KINDS[kind](lines, rng) or spans.characters(lines, rng)
    start, end = span
    end = _shorten(text, start, end)
    return InfillParts(text[:start], text[start:end], text[end:])


def _shorten(text: str, start: int, end: int) -> int:
    """Return where a hole ends that may not be longer: behind a whole line if it has one."""
    if end - start <= LONGEST_CHARS:
        return end
    line_end = text.rfind("\n", start + 1, start + LONGEST_CHARS + 1)
    return line_end if line_end > start else start + LONGEST_CHARS


class Chunks:
    """One document's lines, with the token count up to each of them."""

    def __init__(self, document: Document, tokenizer: Tokenizer, spans: SpanShares) -> None:
        self._tokenizer = tokenizer
        self._spans = spans
        self.document = document
        self.path = shown_path(tokenizer, document.path)
        self.header = fim.header(tokenizer, self.path)
        self._lines = _LINE.findall(document.text)
        self.n_lines = len(self._lines)
        self.starts = [0, *itertools.accumulate(map(len, self._lines))]  # of lines, in characters
        sizes = np.array([len(line.encode()) for line in self._lines], np.int64)
        ids = tokenizer.encode(document.text)
        ends = np.cumsum([len(tokenizer.token_bytes(id_)) for id_ in ids])
        borders = np.concatenate([[0], np.cumsum(sizes)])
        # Tokens that end at or before each line border; a token across it counts to the next line.
        self._tokens_before: NDArray[np.int64] = np.searchsorted(ends, borders, side="right")

    def n_tokens(self, line: int, end_line: int) -> int:
        """Return about how many tokens the lines have."""
        return int(self._tokens_before[end_line] - self._tokens_before[line])

    def fitting(self, line: int, budget_tokens: int) -> int:
        """Return the end of the longest run of lines from `line` on that fits."""
        limit = self._tokens_before[line] + max(0, budget_tokens)
        return max(line, int(np.searchsorted(self._tokens_before, limit, side="right")) - 1)

    def plain(self, line: int, end_line: int) -> list[int]:
        """Return the ids of lines as plain text; `<|end|>` follows only the document's last."""
        text = "".join(self._lines[line:end_line])
        ids = fim.plain(self._tokenizer, self.header, text)
        return ids if end_line == self.n_lines else ids[:-1]

    def cut(self, line: int, end_line: int, rng: np.random.Generator) -> InfillParts:
        """Cut a hole; one of several lines that ends where only the chunk does is cut again."""
        text = "".join(self._lines[line:end_line])
        tree = self._tree if self._spans.by_syntax else None
        borders = self.starts[line], self.starts[end_line]
        syntax = None if tree is None else SyntaxPart(tree, *borders)
        is_late = rng.random() < _LATE_CUT_FRAC
        for _ in range(_CUTS):
            parts = cut_hole(text, rng, self._spans, syntax)
            if is_late:
                other = cut_hole(text, rng, self._spans, syntax)
                parts = max(parts, other, key=lambda cut_parts: len(cut_parts.prefix))
            if parts.suffix.strip() or "\n" not in parts.middle or end_line == self.n_lines:
                break
        return parts

    def line_after(self, line: int, n_chars: int) -> int:
        """Return the first line that is not wholly in the characters from the start of `line`."""
        return bisect.bisect_right(self.starts, self.starts[line] + n_chars) - 1

    @functools.cached_property
    def _tree(self) -> SyntaxTree | None:
        """The document's tree; parsed when the first hole is cut."""
        return tree_of(self.document.path, self.document.text)


def shown_path(tokenizer: Tokenizer, path: str) -> str:
    """Return the path for the header; an endless one would fill the row, so only its end."""
    if len(fim.header(tokenizer, path)) <= _MAX_HEADER_TOKENS:
        return path
    return path[-_MAX_HEADER_TOKENS // 4 :]


def first_tokens(tokenizer: Tokenizer, text: str, n_tokens: int) -> str:
    """Return the longest head of `text` within so many tokens, whole characters only."""
    ids = tokenizer.encode(text)
    if len(ids) <= n_tokens:
        return text
    return tokenizer.decode_bytes(ids[:n_tokens]).decode("utf-8", "ignore")
