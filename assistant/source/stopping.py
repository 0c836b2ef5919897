"""Where a suggestion ends, and where a text begins to say the same again and again.

Pieces of generated text are pulled only as long as they are wanted: closing the iterator is what
stops the generation behind it. Code repeats itself honestly (tables, closing brackets, rulers), so
the limits are set where honest code hardly goes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from assistant.source.blocks import (
    MAX_BLANK_LINES,
    Block,
    indent_columns,
    indent_of,
    line_start,
    opened_block,
)
from assistant.source.brackets import CLOSERS, scan
from assistant.source.languages import Language

MAX_UNIT_CHARS = 40  # longest unit looked for within a line
MAX_CYCLE_LINES = 4
RULERS = frozenset("-=#*_~/.+<>")
MAX_LINES = 12  # of a suggestion
MAX_LINE_CHARS = 400  # a longer line is data, not code


def _repeats_allowed(unit: str) -> int:
    """Return how often `unit` may stand in a row within a line."""
    if not unit.strip():
        return 80  # indentation, alignment
    if len(set(unit)) == 1:
        # A ruler of one character; of others no more than the digits of a 64-bit mask.
        return (100 if unit[0] in RULERS else 16) // len(unit)
    if len(unit) < 3:
        return 12
    return 4 if len(unit) < 10 else 2


def inline_cycle(text: str) -> int | None:
    """Return where the second copy begins of a unit that ends `text` too often, or None.

    >>> inline_cycle("x = [" + "abc, " * 5)
    10
    """
    line = text[text.rfind("\n") + 1 :]
    if not line:
        return None
    at = end = len(line) - 1
    low = max(0, end - min(MAX_UNIT_CHARS, len(line) // 2))
    while (at := line.rfind(line[end], low, at)) >= 0:  # the ends of all possible copies
        size = end - at
        unit = line[-size:]
        if line[-2 * size : -size] != unit:  # nearly always; this runs for every new token
            continue
        limit = _repeats_allowed(unit)
        if len(line) <= size * limit:
            continue
        n = 1
        while line.endswith(unit, 0, len(line) - size * n):
            n += 1
        if n > limit:
            return len(text) - size * (n - 1)
    return None


def line_cycle(lines: list[str]) -> int | None:
    """Return the index where the second copy begins of a cycle that ends `lines`, or None.

    One or two lines may be said twice but not three times; three lines or more only once. Lines
    without a letter or digit (closers, blank lines) prove nothing.
    """
    for size in range(1, MAX_CYCLE_LINES + 1):
        copies = 3 if size <= 2 else 2
        if len(lines) < size * copies:
            continue
        tail = lines[-size:]
        if not any(char.isalnum() for line in tail for char in line):
            continue
        starts = range(len(lines) - size * copies, len(lines), size)
        if all(lines[start : start + size] == tail for start in starts):
            return len(lines) - size * (copies - 1)
    return None


def cut_repetition(text: str) -> str:
    """Return `text` up to where it begins to repeat itself.

    >>> cut_repetition("step()\\nstep()\\nstep()\\n")
    'step()'
    """
    lines = text.split("\n")
    for end in range(1, len(lines) + 1):
        inline = inline_cycle(lines[end - 1])
        if inline is not None:
            return "\n".join([*lines[: end - 1], lines[end - 1][:inline]])
        cycle = line_cycle(lines[:end])
        if cycle is not None:
            return "\n".join(lines[:cycle])
    return text


class Stopped(NamedTuple):
    """The text that is kept, and why it ends: stop, length, deadline, cancelled or repetition."""

    text: str
    finish_reason: str


class _Site(NamedTuple):
    """The block that a multi-line suggestion fills."""

    language: Language | None
    indent: int  # a line this deep or less is outside the block
    head: str  # what the cursor's line holds already, when it is indentation only
    is_brace: bool
    wants_closer: bool


def stop(
    language: Language | None, prefix: str, suffix: str, pieces: Iterator[str], multi_line: bool
) -> Stopped:
    """Pull `pieces` until the suggestion is complete, close the iterator, return what is kept.

    A generator says by its return value why it ended on its own ("length", "deadline",
    "cancelled"); without one it has reached the model's end token. Its exceptions pass through.
    """
    reader = _Reader(pieces)
    try:
        if not multi_line:
            return _single_line(reader)
        block = opened_block(prefix + suffix, len(prefix), language)
        return _multi_line(reader, _site(block, prefix, suffix, language))
    finally:
        reader.close()


class _Reader:
    """The text pulled so far, and how the iterator ended."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self.text = ""
        self.reason: str | None = None  # None while the iterator may give more

    def pull(self) -> bool:
        """Append the next piece; False when there is none."""
        try:
            self.text += next(self._pieces)
        except StopIteration as end:
            self.reason = end.value if isinstance(end.value, str) else "stop"
            return False
        return True

    def close(self) -> None:
        """Tell a generator that nothing more is wanted."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


def _single_line(reader: _Reader) -> Stopped:
    """Keep what stands before the first newline.

    A newline that comes first means that the line is finished as it is: nothing is offered.
    """
    while reader.pull():
        line, newline, _ = reader.text.partition("\n")
        if newline:
            return Stopped(line, "stop")
        if len(line) >= MAX_LINE_CHARS:
            return Stopped(line[:MAX_LINE_CHARS], "length")
        cycle = inline_cycle(line)
        if cycle is not None:
            return Stopped(line[:cycle], "repetition")
    return Stopped(reader.text, reader.reason or "stop")


def _site(block: Block | None, prefix: str, suffix: str, language: Language | None) -> _Site:
    line = prefix[line_start(prefix, len(prefix)) :]
    is_blank = not line.strip()
    # Without a block the caller knows better: stay as deep as the cursor's line is.
    indent = indent_columns(line) - is_blank if block is None else block.indent
    is_brace = block is not None and block.is_brace
    # A closer right behind the cursor must move to a line of its own, so it is re-typed.
    is_open = block is None or not block.is_closed or bool(suffix.partition("\n")[0].strip())
    return _Site(
        language=language,
        indent=indent,
        head=line if is_blank else "",
        is_brace=is_brace,
        wants_closer=is_brace and is_open,
    )


def _multi_line(reader: _Reader, site: _Site) -> Stopped:
    """Keep the lines that belong to the block."""
    checked = 0  # whole lines already found to belong to it
    while True:
        more = reader.pull()
        lines = (site.head + reader.text).split("\n")
        n_whole = len(lines) - 1
        for index in range(checked, n_whole if more else len(lines)):
            ended = _end_at(lines, index, site)
            if ended is not None:
                return _join_kept(ended, site)
        checked = max(checked, n_whole)
        if not more:
            return _join_kept(_drop_unfinished(lines, reader.reason or "stop"), site)
        early = _end_early(lines, site)
        if early is not None:
            return _join_kept(early, site)


def _end_at(lines: list[str], index: int, site: _Site) -> tuple[list[str], str] | None:
    """Return (kept lines, reason) if whole line `index` ends the suggestion."""
    outside = _cut_outside(lines, index, site)
    if outside is not None:
        return outside, "stop"
    n_filled = _n_filled(lines[: index + 1])
    if n_filled > MAX_LINES:
        return lines[:index], "length"
    inline = inline_cycle(lines[index])
    if inline is not None:
        return [*lines[:index], lines[index][:inline]], "repetition"
    cycle = line_cycle(lines[: index + 1])
    if cycle is not None:
        return lines[:cycle], "repetition"
    n_blank = 2 if n_filled else MAX_BLANK_LINES + 1  # two blank lines end a block in every style
    if index + 1 >= n_blank and not _n_filled(lines[index + 1 - n_blank : index + 1]):
        return lines[:index], "stop"
    return None


def _n_filled(lines: list[str]) -> int:
    return sum(1 for line in lines if line.strip())


def _end_early(lines: list[str], site: _Site) -> tuple[list[str], str] | None:
    """Decide on the unfinished last line as soon as its first character is there."""
    last = len(lines) - 1
    line = lines[last]
    if len(line) >= MAX_LINE_CHARS:
        return lines[:last] or [line[:MAX_LINE_CHARS]], "length"
    is_over = _n_filled(lines[:last]) >= MAX_LINES
    inline = None if is_over else inline_cycle(line)
    if inline is not None:
        return [*lines[:last], line[:inline]], "repetition"
    code = line.strip()
    if code and set(code) <= CLOSERS:
        return None  # `}` may go on as `});`
    outside = _cut_outside(lines, last, site)
    if outside is not None:
        return outside, "stop"
    if code and is_over:
        return lines[:last], "length"
    return None


def _cut_outside(lines: list[str], index: int, site: _Site) -> list[str] | None:
    """Return the lines to keep if line `index` leaves the block, else None."""
    line = lines[index]
    code = line.strip()
    if not code or (index == 0 and not site.head) or _is_directive(code, site):
        return _cut_inline(lines, index, site)
    closer = _closing_run(code) if site.is_brace else ""
    if indent_columns(line) > site.indent and not (closer and _closes_block(lines, index, site)):
        return _cut_inline(lines, index, site)
    if closer and site.wants_closer:
        return [*lines[:index], indent_of(line) + closer]
    return lines[:index]


def _is_directive(code: str, site: _Site) -> bool:
    """Return whether a line of C is for the preprocessor, whose indentation means nothing."""
    return code.startswith("#") and site.language is not None and site.language.name in ("c", "cpp")


def _closing_run(code: str) -> str:
    """Return the closers (and a final `;` or `,`) that a line begins with, if `}` is the first."""
    if not code.startswith("}"):
        return ""
    end = 0
    while end < len(code) and code[end] in CLOSERS:
        end += 1
    return code[: end + 1] if code[end : end + 1] in (";", ",") else code[:end]


def _closes_block(lines: list[str], index: int, site: _Site) -> bool:
    """Return whether the first closer of line `index` was not opened in the suggestion."""
    text = "\n".join(lines[: index + 1])
    first = len(text) - len(lines[index].lstrip())
    return any(mark.at == first for mark in scan(text, site.language).extra)


def _cut_inline(lines: list[str], index: int, site: _Site) -> list[str] | None:
    """Return the lines to keep if a `}` in the middle of line `index` closes the block."""
    if not site.is_brace or "}" not in lines[index]:
        return None
    above = "\n".join(lines[:index])
    base = len(above) + 1 if index else 0
    for mark in scan("\n".join(lines[: index + 1]), site.language).extra:
        if mark.char == "}" and mark.at >= base:
            end = mark.at - base + site.wants_closer
            return [*lines[:index], lines[index][:end]]
    return None


def _drop_unfinished(lines: list[str], reason: str) -> tuple[list[str], str]:
    """Cut an unfinished last line when generation did not end by itself and others remain."""
    if reason != "stop" and _n_filled(lines[:-1]):
        return lines[:-1], reason
    return lines, reason


def _join_kept(ended: tuple[list[str], str], site: _Site) -> Stopped:
    """Join the kept lines without blank ones at the end, or the indentation already there."""
    lines, reason = ended
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    text = cut_repetition("\n".join(lines))
    return Stopped(text[len(site.head) :], reason)
