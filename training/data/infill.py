"""Cut a text into prefix, middle and suffix, as a person's cursor would.

The kind of hole is drawn first. Where there is a syntax tree it says what a statement, a block or
an argument list is; where there is none, or none is met, the look of the lines must do. Knows no
token: the budgets of the format are `training.data.rows`'s business.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from training.data import syntax_spans, text_spans
from training.data.syntax_spans import SyntaxPart
from training.data.text_spans import LONGEST_CHARS, Span, TextLines


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
        return float(sum(getattr(self, kind) for kind in syntax_spans.KINDS))

    def draw(self, rng: np.random.Generator) -> str:
        """Return the name of a kind."""
        draw = rng.random()
        for name in TEXT_KINDS:
            draw -= getattr(self, name)
            if draw < 0:
                return name
        return "characters"


# What takes the place of a kind where syntax has no answer.
TEXT_KINDS: Mapping[str, Callable[[TextLines, np.random.Generator], Span | None]] = {
    "rest_of_line": text_spans.rest_of_line,
    "statement": text_spans.whole_lines,
    "block": text_spans.block,
    "arguments": text_spans.rest_of_line,
    "expression": text_spans.rest_of_line,
    "characters": text_spans.characters,
}


def cut(
    text: str,
    rng: np.random.Generator,
    shares: SpanShares,
    syntax: SyntaxPart | None = None,
) -> InfillParts:
    """Choose a kind of hole and a place for it; every draw comes from `rng`."""
    if not text:
        return InfillParts("", "", "")
    kind = shares.draw(rng)
    span = syntax.hole(kind, rng) if syntax is not None and kind in syntax_spans.KINDS else None
    if span is None:
        lines = TextLines(text)
        span = TEXT_KINDS[kind](lines, rng) or text_spans.characters(lines, rng)
    start, end = span
    end = _shorten(text, start, end)
    return InfillParts(text[:start], text[start:end], text[end:])


def _shorten(text: str, start: int, end: int) -> int:
    """Return where a hole ends that may not be longer: behind a whole line if it has one."""
    if end - start <= LONGEST_CHARS:
        return end
    line_end = text.rfind("\n", start + 1, start + LONGEST_CHARS + 1)
    return line_end if line_end > start else start + LONGEST_CHARS
