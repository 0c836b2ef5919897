"""Holes by the look of a text alone: lines, indented blocks, any characters.

Works for every language and for broken code. Knows no grammar and no token.
"""

import bisect
import itertools
import re

import numpy as np

LONGEST_CHARS = 700  # of a hole of any characters
_MAX_LINES = 6  # of a hole of whole lines

Span = tuple[int, int]


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
