"""Holes: by syntax (statements, bodies of blocks, argument lists, expressions), or by look alone.

A text is cut into prefix, middle and suffix, as a person's cursor would: the kind of hole is drawn
first. Where there is a syntax tree it says what a statement, a block or an argument list is; where
there is none, or none is met, the look of the lines must do.

By look (lines, indented blocks, any characters) works for every language and for broken code. By
syntax, a place in the text is drawn, and of the nodes around it those of the wanted kind are the
choice: nothing has to be walked, so a hole costs no more than the tree is deep. What a node is
called differs between grammars; what it is here follows from where it stands. Knows no token.
"""

import bisect
import itertools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tree_sitter

from assistant.source.languages import language_of
from assistant.source.syntax import BODY_KINDS, SyntaxTree, parse

LONGEST_CHARS = 700  # of a hole of any characters
_MAX_LINES = 6  # of a hole of whole lines

Span = tuple[int, int]
_PARSE_LIMIT_S = 60.0  # so generous that the same files are parsed on every machine
_TRIES = 6
_LIST_KINDS = frozenset(
    "argument_list arguments formal_parameters parameter_list parameters type_arguments"
    " type_parameters type_parameter_list template_argument_list template_parameter_list".split()
)
_VISIBLE = re.compile(r"\S")  # around white space there are only large nodes
_OPENERS = ("(", "<", "[")
_ON_NEXT_LINE_FRAC = 0.7  # of the blocks: the cursor stands there already, behind its indentation
_INNERMOST_FRAC = 0.6  # of the blocks; of the rest as many are the next one out, and so on
_OPEN_END_FRAC = 0.3  # of the lists: the closing bracket is not there yet
_MAX_STATEMENTS = 4

Nodes = list[tree_sitter.Node]


class TextLines:
    """A text and where its lines begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(newline.end() for newline in re.finditer("\n", text))]

    def at(self, offset: int) -> int:
        """Return the number of the line that holds `offset`."""
        return bisect.bisect_right(self.starts, offset) - 1

    def end(self, line: int) -> int:
        """Return the offset of the line's end, before its newline."""
        following = line + 1
        return self.starts[following] - 1 if following < len(self.starts) else len(self.text)

    def indent(self, line: int) -> int:
        """Return the number of white characters the line begins with; all of a blank line."""
        content = self.text[self.starts[line] : self.end(line)]
        return len(content) - len(content.lstrip())

    def is_blank(self, line: int) -> bool:
        """Say whether there is nothing to see on the line."""
        return self.starts[line] + self.indent(line) >= self.end(line)


def rest_of_line(lines: TextLines, rng: np.random.Generator) -> Span | None:
    """From a character of a line to the line's end: what is asked most while typing."""
    line = _written_line(lines, rng)
    if line is None:
        return None
    end = lines.end(line)
    return int(rng.integers(lines.starts[line] + lines.indent(line), end + 1)), end


def whole_lines(lines: TextLines, rng: np.random.Generator) -> Span | None:
    """One or a few lines; the indentation of the first is usually typed by the editor."""
    line = _written_line(lines, rng)
    if line is None:
        return None
    n_lines = min(int(rng.geometric(0.5)), _MAX_LINES)
    last = min(line + n_lines - 1, len(lines.starts) - 1)
    while last > line and lines.is_blank(last):
        last -= 1
    start = lines.starts[line]
    return start if rng.random() < 0.25 else start + lines.indent(line), lines.end(last)


def block(lines: TextLines, rng: np.random.Generator) -> Span | None:
    """The more indented lines after a line that opens them."""
    line = _written_line(lines, rng)
    if line is None or line + 1 >= len(lines.starts):
        return None
    opener = _opener(lines, line)
    if opener is None:
        return None
    written = (i for i in range(opener + 1, len(lines.starts)) if not lines.is_blank(i))
    body = list(itertools.takewhile(lambda i: lines.indent(i) > lines.indent(opener), written))
    # The cursor stands behind the opening line, or on the next line after its indentation.
    is_behind = rng.random() < 0.3
    start = lines.end(opener) if is_behind else lines.starts[body[0]] + lines.indent(body[0])
    return start, max(start, lines.end(body[-1]))


def characters(lines: TextLines, rng: np.random.Generator) -> Span:
    """Any span of characters: lengths of all orders of magnitude."""
    n_chars = len(lines.text)
    longest = min(LONGEST_CHARS, n_chars)
    length = round(np.exp(rng.uniform(0, np.log(longest)))) if longest > 1 else longest
    start = int(rng.integers(0, n_chars - length + 1))
    return start, start + length


def _written_line(lines: TextLines, rng: np.random.Generator) -> int | None:
    """Return a line that is not blank, long ones more often; None if none is found soon."""
    for _ in range(8):
        line = lines.at(int(rng.integers(0, len(lines.text) + 1)))
        if not lines.is_blank(line):
            return line
    return None


def _opener(lines: TextLines, line: int) -> int | None:
    """Return `line` if it opens a block, else the line that opened the block around it."""
    indent = lines.indent(line)
    following = next(
        (i for i in range(line + 1, min(line + 4, len(lines.starts))) if not lines.is_blank(i)),
        None,
    )
    if following is not None and lines.indent(following) > indent:
        return line
    for i in range(line - 1, -1, -1):
        if not lines.is_blank(i) and lines.indent(i) < indent:
            return i
    return None


def tree_of(path: str, text: str) -> SyntaxTree | None:
    """Parse a document; None if its language is unknown or its grammar is not installed."""
    return parse(language_of(path), text, limit_s=_PARSE_LIMIT_S)


def syntax_hole(tree: SyntaxTree, part: Span, kind: str, rng: np.random.Generator) -> Span | None:
    """Return a hole of a kind of `KINDS` within a part of a text, counted from the part's start.

    None if none is met soon; every draw comes from `rng`.
    """
    first, last = part
    for _ in range(_TRIES):
        place = _VISIBLE.search(tree.text, int(rng.integers(first, last)), last)
        if place is None:
            continue
        span = KINDS[kind](tree, tree.path_to(place.start()), rng)
        if span is None or span[1] - span[0] > LONGEST_CHARS:
            continue  # cut short it would end where syntax does not
        if first <= span[0] < span[1] <= last:
            return span[0] - first, span[1] - first
    return None


def _statements(tree: SyntaxTree, path: Nodes, rng: np.random.Generator) -> Span | None:
    """The innermost statement, sometimes with those that follow it in the same body."""
    pairs = itertools.pairwise(path)
    inside = [node for body, node in pairs if body.type in BODY_KINDS and node.is_named]
    if not inside:
        return None
    last = inside[-1]
    for _ in range(min(int(rng.geometric(0.6)), _MAX_STATEMENTS) - 1):
        last = last.next_named_sibling or last
    return tree.offset_of(inside[-1].start_byte), _end(tree, last)


def _body(tree: SyntaxTree, path: Nodes, rng: np.random.Generator) -> Span | None:
    """What stands in a block: all its statements, without the brackets around them."""
    bodies = [node for node in path[1:] if node.type in BODY_KINDS and node.named_child_count]
    if not bodies:
        return None
    children = bodies[-min(int(rng.geometric(_INNERMOST_FRAC)), len(bodies))].named_children
    start, end = tree.offset_of(children[0].start_byte), _end(tree, children[-1])
    if rng.random() >= _ON_NEXT_LINE_FRAC:
        start = len(tree.text[:start].rstrip())  # behind what opens the block
    return start, end


def _arguments(tree: SyntaxTree, path: Nodes, rng: np.random.Generator) -> Span | None:
    """The rest of an argument or parameter list, from its start or from one of its items."""
    lists = [node for node in path if node.type in _LIST_KINDS]
    if not lists:
        return None
    chosen = lists[-1]  # the innermost
    start, end = tree.offset_of(chosen.start_byte), _end(tree, chosen)
    if not tree.text[start:end].startswith(_OPENERS):
        return None
    items = [tree.offset_of(item.start_byte) for item in chosen.named_children]
    starts = [start + 1, *items]
    is_open = rng.random() < _OPEN_END_FRAC
    return starts[int(rng.integers(len(starts)))], end if is_open else end - 1


def _expression(tree: SyntaxTree, path: Nodes, rng: np.random.Generator) -> Span | None:
    """One of the nodes within a statement, from all of its parts to a single name."""
    top = max(i for i, node in enumerate(path) if i == 0 or node.type in BODY_KINDS)
    inner = [node for node in path[top + 2 :] if node.is_named]
    if not inner:
        return None
    chosen = inner[int(rng.integers(len(inner)))]
    return tree.offset_of(chosen.start_byte), _end(tree, chosen)


def _end(tree: SyntaxTree, node: tree_sitter.Node) -> int:
    """Return where a node's text ends; some grammars count the line end in."""
    end = tree.offset_of(node.end_byte)
    start = tree.offset_of(node.start_byte)
    return start + len(tree.text[start:end].rstrip())


Kind = Callable[[SyntaxTree, Nodes, np.random.Generator], Span | None]
KINDS: Mapping[str, Kind] = {
    "statement": _statements,
    "block": _body,
    "arguments": _arguments,
    "expression": _expression,
}
# How often each kind of hole is cut, together 1, and how where syntax has no answer.
TEXT_KINDS: Mapping[str, tuple[float, Callable[[TextLines, np.random.Generator], Span | None]]] = {
    "rest_of_line": (0.30, rest_of_line),  # what is asked most while typing
    "statement": (0.25, whole_lines),  # one or a few of them
    "block": (0.20, block),  # a body
    "arguments": (0.10, rest_of_line),  # or parameters
    "expression": (0.05, rest_of_line),
    "characters": (0.10, characters),  # any, for cursors in the middle of anything
}


class InfillParts(NamedTuple):
    """A text in three; prefix + middle + suffix is the text."""

    prefix: str
    middle: str
    suffix: str


def draw_kind(rng: np.random.Generator) -> str:
    """Return the name of a kind of hole."""
    draw = rng.random()
    for name, (share, _) in TEXT_KINDS.items():
        draw -= share
        if draw < 0:
            return name
    return "characters"


def cut_hole(
    text: str,
    rng: np.random.Generator,
    tree: SyntaxTree | None = None,
    start: int = 0,
    kind: str = "",
) -> InfillParts:
    """Choose a place for a hole, of a kind that is drawn if none is given; draws are from `rng`.

    `tree` is of the text that this one stands in, at `start`.
    """
    if not text:
        return InfillParts("", "", "")
    kind = kind or draw_kind(rng)
    span = None
    if tree is not None and kind in KINDS:
        span = syntax_hole(tree, (start, start + len(text)), kind, rng)
    if span is None:
        lines = TextLines(text)
        span = TEXT_KINDS[kind][1](lines, rng) or characters(lines, rng)
    first, last = span[0], _shorten(text, *span)
    return InfillParts(text[:first], text[first:last], text[last:])


def _shorten(text: str, start: int, end: int) -> int:
    """Return where a hole ends that may not be longer: behind a whole line if it has one."""
    if end - start <= LONGEST_CHARS:
        return end
    line_end = text.rfind("\n", start + 1, start + LONGEST_CHARS + 1)
    return line_end if line_end > start else start + LONGEST_CHARS
