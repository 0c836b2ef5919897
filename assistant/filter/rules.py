"""The rules of `postprocess`, one function each: (place, text) -> what is left of the text.

A rule may only take characters away, and may say how many characters behind the cursor the text
types again. An empty text means that nothing is shown.
"""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from assistant.request import CompletionRequest
from assistant.source.blocks import (
    MAX_SCAN_CHARS,
    indent_columns,
    line_end,
    line_start,
    lines_above,
    lines_below,
    next_line,
    opened_block,
    scan_before,
)
from assistant.source.brackets import AUTO_CLOSED, CLOSERS, Scan
from assistant.source.languages import Language, language_of
from assistant.source.stopping import cut_repetition, line_cycle

MAX_SIDE_CHARS = 4_000  # of the cursor's own line, each way: a longer line is data
MIN_TELLING_CHARS = 3  # letters and digits that make a line worth comparing with its neighbours
MAX_LINES_ABOVE = 12  # that are looked at for circles
MAX_COUNTED = 6  # lines, or pairs of lines, that differ in their numbers alone
LINE_GOES_ON = frozenset(",({[&|+-*/=<.?:\\")  # behind these a line ends in the midst of something

_IMPORT = re.compile(r"(?:import|from|use|using|#[ \t]*include)\b")
_NUMBER = re.compile(r"\d+")
# Lines that are Python and nothing else, where a network that read more of it slips.
_PYTHON = re.compile(r"from [\w.]+ import\b|(?:async )?def \w+\(|elif\b|if __name__\b")
_PYTHON_IN_C = re.compile(r'import \w+(?: as \w+)?$|"""')
_MARKER = re.compile(r"<\|[A-Za-z0-9_]{1,40}\|>")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, surrogate...
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class RuleResult(NamedTuple):
    """What a rule leaves."""

    text: str
    n_replaced: int = 0  # characters right of the cursor that the text types again


class CursorSite(NamedTuple):
    """The cursor's surroundings, cut once for all rules."""

    document: str
    offset: int
    language: Language | None
    multi_line: bool
    before: str  # the cursor's line, left of the cursor
    after: str  # and right of it
    behind: str  # the document right of the cursor, as far as brackets are looked for
    context: Scan  # what is open at the cursor
    sees_all: bool  # whether `context` knows every bracket that is open
    is_rest: bool = False  # the text is the rest of what was shown, and partly typed
    is_part: bool = False  # of a line: more is to follow the text on it

    @classmethod
    def of(
        cls,
        request: CompletionRequest,
        *,
        multi_line: bool,
        is_rest: bool = False,
        is_part: bool = False,
    ) -> "CursorSite":
        """Cut the surroundings of the request's cursor."""
        document, offset = request.text, request.offset
        language = language_of(request.path, request.language)
        context, sees_all = scan_before(document, offset, language, is_top=True)
        return cls(
            document=document,
            offset=offset,
            language=language,
            multi_line=multi_line,
            before=document[max(line_start(document, offset), offset - MAX_SIDE_CHARS) : offset],
            after=document[offset : min(line_end(document, offset), offset + MAX_SIDE_CHARS)],
            behind=document[offset : offset + MAX_SCAN_CHARS],
            context=context,
            sees_all=sees_all,
            is_rest=is_rest,
            is_part=is_part,
        )


def _n_telling(line: str) -> int:
    return sum(1 for char in line if char.isalnum())


def control_characters(place: CursorSite, text: str) -> RuleResult:
    """Drop control, bidirectional and zero-width characters that the line does not have yet."""
    known = set(place.before) | set(place.after) | {"\n", "\t"}
    kept = (
        char
        for char in text
        if (char.isascii() and char.isprintable())
        or char in known
        or (char != _REPLACEMENT and unicodedata.category(char) not in _INVISIBLE_CATEGORIES)
    )
    return RuleResult("".join(kept))


def marker_text(place: CursorSite, text: str) -> RuleResult:
    """Cut where the literal text of a model's special token begins, or is completed."""
    for match in _MARKER.finditer(place.before + text):
        if match.end() > len(place.before):
            return RuleResult(text[: max(0, match.start() - len(place.before))])
    return RuleResult(text)


def line_limit(place: CursorSite, text: str) -> RuleResult:
    """Keep the first line only, unless several were asked for and nothing but closers follows."""
    if place.multi_line and not place.after.strip("".join(AUTO_CLOSED) + "\t"):
        return RuleResult(text)
    return RuleResult(text.partition("\n")[0])


def repetition(place: CursorSite, text: str) -> RuleResult:
    """Cut what says the same again and again."""
    return RuleResult(cut_repetition(text))


def repeated_previous(place: CursorSite, text: str) -> RuleResult:
    """Drop text that goes round in circles with the lines above, or imports what is imported.

    Saying the line above once more is honest code now and then, so once is allowed; so are a few
    lines that differ in their numbers alone.
    """
    said = [line.rstrip() for line in (place.before + text).split("\n") if line.strip()]
    if not said:
        return RuleResult(text)
    if len(said) == 1:
        said[0] += place.after.rstrip()
    is_import = _IMPORT.match("".join(said)) and not said[0].endswith(("(", "{"))  # names follow
    if is_import and f"\n{said[0]}\n" in f"\n{place.document}\n":
        return RuleResult("")
    lines = [*_filled_above(place, max(MAX_LINES_ABOVE, len(said))), *said]
    is_again = len(said) > 1 and lines[-2 * len(said) : -len(said)] == said
    is_again = is_again and _n_telling("".join(said)) >= MIN_TELLING_CHARS
    return RuleResult("" if is_again or line_cycle(lines) is not None or _counts(lines) else text)


def _filled_above(place: CursorSite, n_lines: int) -> list[str]:
    """Return the nearest lines above that are not blank, in the document's order."""
    above = (line.rstrip() for _, line in lines_above(place.document, place.offset) if line.strip())
    return list(itertools.islice(above, n_lines))[::-1]


def _counts(lines: Sequence[str]) -> bool:
    """Return whether the last lines, one by one or two by two, differ in their numbers alone."""
    masked = [_NUMBER.sub("0", line) for line in lines]
    return any(
        masked[-size * MAX_COUNTED :] == masked[-size:] * MAX_COUNTED
        and any(char.isalnum() for char in masked[-1])
        for size in (1, 2)
    )


def foreign_line(place: CursorSite, text: str) -> RuleResult:
    """Drop a line of Python in another language."""
    language, line = place.language, (place.before + text).lstrip()
    if language is None or language.blocks == "indent" or place.context.quote:
        return RuleResult(text)
    is_foreign = _PYTHON.match(line) or (
        language.name in ("c", "cpp", "go", "rust") and _PYTHON_IN_C.match(line)
    )
    return RuleResult("" if is_foreign else text)


def indentation(place: CursorSite, text: str) -> RuleResult:
    """Strip white space before a line of Python that nothing above lets stand deeper.

    >>> request = CompletionRequest(path="a.py", text="  x = 1\\n  ", offset=10)
    >>> indentation(CursorSite.of(request, multi_line=False), "  y = 2")
    RuleResult(text='y = 2', n_replaced=0)
    """
    is_python = place.language is not None and place.language.blocks == "indent"
    is_led = text[0] in " \t" and not place.before.strip() and "\n" not in text
    if not (is_python and is_led) or place.context.quote or place.context.openers:
        return RuleResult(text)
    above = "".join(_filled_above(place, 1))
    below = next_line(place.document, place.offset) or ""
    allowed = max(indent_columns(above), indent_columns(below))
    goes_on = above[-1:] in LINE_GOES_ON or opened_block(
        place.document, place.offset, place.language
    )
    is_deeper = indent_columns(place.before + text) > allowed
    return RuleResult(text.lstrip(" \t") if is_deeper and not goes_on else text)


def duplicate_following(place: CursorSite, text: str) -> RuleResult:
    """Cut from where the text says what already stands on the lines below."""
    rest = place.after.rstrip()
    if rest.strip("".join(AUTO_CLOSED)) or (rest and "\n" in text):
        return RuleResult(text)
    lines = (place.before + text + rest).split("\n")
    filled = [(index, line.rstrip()) for index, line in enumerate(lines) if line.strip()]
    below: list[str] = []
    for _, line in lines_below(place.document, place.offset):
        if len(below) == len(filled):
            break
        if line.strip():
            below.append(line.rstrip())
    for first in range(len(filled)):
        tail = [line for _, line in filled[first:]]
        if tail == below[: len(tail)] and _is_duplicate(tail, is_whole_block=first > 0):
            index = filled[first][0]
            return RuleResult(
                "\n".join(lines[:index])[len(place.before) :].rstrip() if index else ""
            )
    return RuleResult(text)


def _is_duplicate(tail: list[str], *, is_whole_block: bool) -> bool:
    """Return whether equal lines prove a copy: telling ones, or a block's closing line."""
    joined = "".join(tail).strip()
    is_closing = set(joined) <= CLOSERS | {";", ","} and "}" in joined
    return _n_telling(joined) >= MIN_TELLING_CHARS or (is_whole_block and is_closing)


def glued_word(place: CursorSite, text: str) -> RuleResult:
    """Drop text inside a word, or that ends in a word where another begins: `us|ing`, `x = |y`."""
    ends = place.before[-1:], text[-1:]
    is_glued = _is_word(place.after[:1]) and any(map(_is_word, ends))
    return RuleResult("" if is_glued else text)


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def trailing_space(place: CursorSite, text: str) -> RuleResult:
    """Strip the white space at the ends of lines; before more code one space may stay."""
    *lines, last = text.split("\n")
    lines = [line.rstrip() for line in lines]
    stripped = last.rstrip()
    if not place.after.strip():
        return RuleResult("\n".join([*lines, stripped]).rstrip())
    if stripped:
        keeps_space = last != stripped and not place.after[:1].isspace()
        last = last[: len(stripped) + keeps_space]
    return RuleResult("\n".join([*lines, last]))  # else: the indentation of what follows
