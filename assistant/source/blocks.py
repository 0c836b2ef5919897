"""Lines, indentation, and the empty block that a cursor opens, by text rules alone.

Needs no grammar and no complete code. A line ends at LF only; form feeds and other separators are
ordinary characters. Indentation is a width in columns, so tabs and spaces can be compared.
"""

import bisect
import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from assistant.source.brackets import CLOSERS, LINE_COMMENT, Scan, scan, scan_on, spans_lines
from assistant.source.languages import Language

TAB_COLUMNS = 4
MAX_SCAN_CHARS = 6_000  # how far back the lexical state is looked for
MAX_HEADER_LINES = 40
MAX_BLANK_LINES = 2  # between a header and a cursor that still counts as just inside its block

_PYTHON_DEFINITION = r"(?:(?:async[ ]+)?def[ ]+\w+[ ]*\(|class[ ]+\w+[ ]*[(:]|@\w)"
_BRACE_DEFINITION = (
    r"(?:@|(?:async|class|func|function|fn|pub|impl|trait|mod|struct|enum|union|interface"
    r"|namespace|template|export|public|private|protected|static|type|void|int)\b)"
)
_CONTINUED = re.compile(r"\s*(?:[:,?.=|&]|->|throws\b|implements\b|extends\b)")
_INDENT_HEADER = re.compile(
    r"\s*(?:async|def|class|if|elif|else|for|while|try|except|finally|with|match|case)\b"
)
_HEADER_LIKE = re.compile(r".*\)\s*:$|\s*[\w.-]+:$")  # for languages that we do not know
_INDENT = re.compile(r"[ \t\f]*")
_DEFINITION_LINE = re.compile(
    r"\s*(?:(?:export|default|public|private|protected|static|abstract|final|async|unsafe|inline"
    r"|virtual|pub(?:\([a-z]+\))?)\s+)*"
    r"(?:(?:class|def|func|function|fn|impl|trait|mod|struct|enum|union|interface|namespace|type)\b"
    r"|(?!(?:if|for|while|switch|catch|else|return|do)\b)[\w$~][^=;]*\([^;]*\)[^;]*\{\s*$)"
)


class Block(NamedTuple):
    """An empty block that the cursor stands in or opens."""

    indent: int  # columns of the line that begins its header
    is_brace: bool
    is_closed: bool  # its closing brace is already there, on the cursor's line or below
    on_header: bool  # the cursor is on the header's line, not on a line of its own below


def n_common(left: Sequence[object], right: Sequence[object]) -> int:
    """Return how many characters, bytes or items both begin with."""
    lengths = range(1, min(len(left), len(right)) + 1)
    return bisect.bisect_left(lengths, True, key=lambda n: left[:n] != right[:n])


def line_start(text: str, offset: int) -> int:
    """Return the offset of the first character of the line that holds `offset`."""
    return text.rfind("\n", 0, offset) + 1


def line_end(text: str, offset: int) -> int:
    """Return the offset of the LF that ends the line of `offset`, or the end of the text."""
    end = text.find("\n", offset)
    return len(text) if end < 0 else end


def indent_of(line: str) -> str:
    """Return the white space that `line` begins with."""
    match = _INDENT.match(line)
    return match.group() if match else ""


def indent_columns(line: str) -> int:
    """Return the width of a line's indentation; a form feed begins the count anew."""
    return len(indent_of(line).rpartition("\f")[2].expandtabs(TAB_COLUMNS))


def lines_above(text: str, offset: int) -> Iterator[tuple[int, str]]:
    """Yield (start, line) of the lines above the one that holds `offset`, nearest first."""
    start = line_start(text, offset)
    while start > 0:
        end = start - 1
        start = line_start(text, end)
        yield start, text[start:end]


def lines_below(text: str, offset: int) -> Iterator[tuple[int, str]]:
    """Yield (start, line) of the lines below the one that holds `offset`, nearest first."""
    end = line_end(text, offset)
    while end < len(text):
        start = end + 1
        end = line_end(text, start)
        yield start, text[start:end]


def next_line(text: str, offset: int) -> str | None:
    """Return the first line below that is not blank, or None at the end of the text."""
    return next((line for _, line in lines_below(text, offset) if line.strip()), None)


@functools.cache
def _definition(language: Language | None, *, is_top: bool) -> re.Pattern[str]:
    """Return a pattern for the lines that begin a definition, of the top level only if `is_top`."""
    indent = "" if is_top else r"[ \t]*"
    is_indent = language is not None and language.blocks == "indent"
    words = _PYTHON_DEFINITION if is_indent else _BRACE_DEFINITION
    return re.compile(f"^{indent}{words}", re.MULTILINE)


def scan_before(
    text: str, offset: int, language: Language | None, *, is_top: bool = False
) -> tuple[Scan, bool]:
    """Scan what stands before `offset`; say too whether everything open there was seen.

    Begins at the nearest line above that begins a definition (at the first of the top level, if
    `is_top`): that is safer than a fixed distance, which may begin inside a string. Places in the
    cursor's own line count from its start, others mean nothing.
    """
    here = line_start(text, offset)
    if offset - here > MAX_SCAN_CHARS:
        return scan(text[offset - MAX_SCAN_CHARS : offset], language), False
    low = line_start(text, max(0, here - MAX_SCAN_CHARS))
    above, sees_all = _scan_lines(text[low:here], low == 0, language, is_top)
    if not (is_top and sees_all) and _definition(language, is_top=is_top).match(text, here, offset):
        above, sees_all = Scan(), is_top
    if above.quote and not spans_lines(above.quote, language):  # a backslash joins two lines
        return scan(text[low:offset], language), sees_all
    return scan_on(above, text[here:offset], language), sees_all


@functools.lru_cache(maxsize=8)  # the same for every key typed in a line
def _scan_lines(
    lines: str, is_whole: bool, language: Language | None, is_top: bool
) -> tuple[Scan, bool]:
    """Scan whole lines (of which there are no more above, if `is_whole`) for `scan_before`."""
    if is_whole and is_top:
        return scan(lines, language), True
    starts = [match.start() for match in _definition(language, is_top=is_top).finditer(lines)]
    if is_top and starts:
        return scan(lines[starts[0] :], language), True
    if starts:
        return scan(lines[starts[-1] :], language), False
    if is_whole or is_top:
        return scan(lines, language), is_whole
    paragraph = lines.rfind("\n\n") + 2  # seldom begins or ends inside a string
    return scan(lines[paragraph if paragraph > 1 else 0 :], language), False


def _code_end(text: str, line_end: int, language: Language | None) -> int | None:
    """Return where the code of the line that ends at `line_end` ends, if that may be a header."""
    start = line_start(text, line_end)
    code = text[start:line_end].rstrip()
    if not (":" in code or "{" in code) or len(code) > MAX_SCAN_CHARS:
        return None  # nearly always, and without a scan
    state, _ = scan_before(text, line_end, language)
    if state.quote == LINE_COMMENT:
        code = code[: state.quote_at].rstrip()
    elif state.quote:
        return None
    return start + len(code) if code.endswith((":", "{")) else None


def _logical_start(text: str, start: int, end: int, language: Language | None) -> int:
    """Return the start of the line on which the header that ends at `end` begins."""
    for _ in range(MAX_HEADER_LINES):
        above = text[line_start(text, start - 1) : start - 1] if start else ""
        is_continued = above.endswith("\\") or _CONTINUED.match(text, start, end)
        # A `}` closes the branch above (`} else {`), at the indentation that counts.
        closes = any(mark.char != "}" for mark in scan(text[start:end], language).extra)
        if start == 0 or not (is_continued or closes):
            break
        start = line_start(text, start - 1)
    return start


def _header_end(text: str, offset: int) -> tuple[int, bool] | None:
    """Return (end, is on the cursor's line) of the line that may be a block's header."""
    start = line_start(text, offset)
    if text[start:offset].strip():
        return offset, True
    for n_blank, (above, line) in enumerate(lines_above(text, offset)):
        if line.strip():
            return above + len(line), False
        if n_blank >= MAX_BLANK_LINES:
            break
    return None


def _is_indent_header(logical: str, language: Language | None) -> bool:
    if scan(logical, language).openers:  # a dict, slice or lambda inside brackets
        return False
    if language is None:
        return bool(_INDENT_HEADER.match(logical) or _HEADER_LIKE.match(logical))
    return language.blocks == "indent" and bool(_INDENT_HEADER.match(logical))


def opened_block(text: str, offset: int, language: Language | None) -> Block | None:
    """Return the empty block that the cursor opens or stands in, or None.

    A header ends with `{`, or in a language of indentation with the `:` of a compound statement.
    """
    found = _header_end(text, offset)
    rest = text[offset : line_end(text, offset)].strip()
    if found is None or rest.strip("".join(CLOSERS) + ";,"):
        return None
    header_end, on_header = found
    end = _code_end(text, header_end, language)
    if end is None or (on_header and text[end:offset].strip()):
        return None  # no header, or a comment is being written behind it
    start = _logical_start(text, line_start(text, end), end, language)
    is_brace = text[end - 1] == "{"
    if is_brace and language is not None and language.blocks == "indent":
        return None  # a dict or set is written as one expression
    if not is_brace and (rest or not _is_indent_header(text[start:end], language)):
        return None
    indent = indent_columns(text[start:end])
    below = next_line(text, offset)
    if not rest and below is not None and indent_columns(below) > indent:
        return None  # the block has a body already
    is_closed = rest.startswith("}") or (
        not rest
        and below is not None
        and indent_columns(below) == indent
        and below.lstrip().startswith("}")
    )
    return Block(indent=indent, is_brace=is_brace, is_closed=is_closed, on_header=on_header)


def open_headers(text: str, offset: int, language: Language | None) -> list[tuple[int, str]]:
    """Return (start, line) of the lines above that are indented ever less, outermost first.

    In a known language only those that look like a definition.
    """
    start = line_start(text, offset)
    columns = indent_columns(text[start : line_end(text, start)])
    found = []
    for above, line in lines_above(text, offset):
        if columns == 0:
            break
        if line.strip() and indent_columns(line) < columns:
            columns = indent_columns(line)
            if language is None or _DEFINITION_LINE.match(line):
                found.append((above, line.strip()))
    return found[::-1]
