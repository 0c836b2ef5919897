"""The rules of `postprocess`, one function each: (place, text) -> what is left of the text.

A rule may only take characters away, and may say how many characters behind the cursor the text
types again. An empty text means that nothing is shown.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from assistant.request import CompletionRequest
from assistant.source.blocks import (
    MAX_SCAN_CHARS,
    line_end,
    line_start,
    lines_above,
    lines_below,
    scan_before,
)
from assistant.source.brackets import CLOSERS, LINE_COMMENT, PAIRS, Scan, scan, scan_on
from assistant.source.languages import Language, language_of
from assistant.source.repetition import cut_repetition

MIN_VISIBLE_CHARS = 2
MAX_SIDE_CHARS = 4_000  # of the cursor's own line, each way: a longer line is data
MIN_TELLING_CHARS = 3  # letters and digits that make a line worth comparing with its neighbours
AUTO_CLOSED = CLOSERS | frozenset("\"'`>;,: ")  # what an editor, or a writer ahead, leaves behind

_QUOTES = frozenset("\"'`")
_LINE_GOES_ON = frozenset(",({[&|+-*/=<.?:\\")  # behind these a line ends in the midst of something

_MARKER = re.compile(r"<\|[A-Za-z0-9_]{1,40}\|>")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, surrogate...
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class RuleResult(NamedTuple):
    """What a rule leaves."""

    text: str
    n_replaced: int = 0  # characters right of the cursor that the text types again


@dataclass(frozen=True, kw_only=True, slots=True)
class CursorSite:
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

    @classmethod
    def of(cls, request: CompletionRequest, *, multi_line: bool) -> "CursorSite":
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
    """Drop text that would make the same line stand three times, or repeat the lines above.

    Saying the line above once more is honest code now and then, so once is allowed.
    """
    lines = [line.rstrip() for line in (place.before + text).split("\n") if line.strip()]
    if not lines or _n_telling("".join(lines)) < MIN_TELLING_CHARS:
        return RuleResult(text)
    above: list[str] = []
    for _, line in lines_above(place.document, place.offset):
        if line.strip():
            above.append(line.rstrip())
        if len(above) == max(2, len(lines)):
            break
    above.reverse()
    if len(lines) == 1:
        is_again = len(above) == 2 and above == [lines[0] + place.after.rstrip()] * 2
    else:
        is_again = above == lines
    return RuleResult("" if is_again else text)


def duplicate_following(place: CursorSite, text: str) -> RuleResult:
    """Cut from where the text says what already stands on the lines below."""
    if place.after.strip():
        return RuleResult(text)
    lines = (place.before + text).split("\n")
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


def suffix_overlap(place: CursorSite, text: str) -> RuleResult:
    """Take back what already follows the cursor on its line.

    Auto-closed brackets and quotes that the text types again are replaced by it, so that the cursor
    ends behind them; anything else that both share is left to the document.

    >>> request = CompletionRequest(path="a.py", text="f()", offset=2)
    >>> place = CursorSite.of(request, multi_line=False)
    >>> suffix_overlap(place, "x)")
    RuleResult(text='x)', n_replaced=1)
    """
    rest = place.after.rstrip()
    if not rest:
        return RuleResult(text)
    n_closers = _n_retyped(place, text, rest)
    is_code = bool(rest[n_closers:].strip("".join(AUTO_CLOSED)))
    said = text.rstrip()
    for shared in (rest, rest.strip()):
        if is_code and said.endswith(shared) and _is_border(said, len(said) - len(shared)):
            return RuleResult(said[: -len(shared)])
    return RuleResult(text, n_closers)


def _is_border(text: str, index: int) -> bool:
    """Return whether no word goes on across `index`."""
    return not (text[:index][-1:].isalnum() and text[index : index + 1].isalnum())


def _n_retyped(place: CursorSite, text: str, rest: str) -> int:
    """Return how many leading characters of `rest` stand for what the text types again.

    An editor closed them by itself. Those go that keep the document from fitting together; where
    that does not tell, the fewest without which the line is as whole as it was without the text: no
    closer too many, no string left open. Then what stands behind them in the text and in the
    document (`;`, `,`).
    """
    said = text.rstrip()
    if not said:
        return 0
    if set(said) <= _QUOTES and rest.startswith(said):
        return len(said)
    n_closers = len(rest) - len(rest.lstrip("".join(AUTO_CLOSED - {" "})))
    choices = [n for n in range(n_closers + 1) if _may_go(rest[:n], said)]
    n_again = _n_unfitting(place, said, rest, choices)
    if n_again is None:
        n_again = _n_faulty(place, text, rest, choices)
    tail = said[max(said.rfind(char) for char in CLOSERS | _QUOTES) + 1 :]
    if n_again and tail and set(tail) <= AUTO_CLOSED and rest.startswith(tail, n_again):
        n_again += len(tail)
    return n_again


def _may_go(closers: str, text: str) -> bool:
    """Say whether the text stands for closers: it has them too, or it opens what they would close.

    Where a line goes on below (`run(async () => {`), brackets that were closed on it are not wanted
    there, though the text has none of them. A quote is never taken away untyped.
    """
    rest = iter(text)
    untyped = [char for char in closers if char not in rest]
    return not untyped or (set(untyped) <= CLOSERS and text[-1] in _LINE_GOES_ON)


def _n_unfitting(place: CursorSite, text: str, rest: str, choices: Sequence[int]) -> int | None:
    """Return with how many closers less the whole document fits together; None if unclear."""
    goes_on = text[-1] in _LINE_GOES_ON or any(char in text for char in CLOSERS)
    if place.context.quote or not (place.sees_all and goes_on):
        return None
    state = scan_on(place.context, text, place.language)
    if state.quote or len(state.extra) > len(place.context.extra):
        return None
    wanted = [PAIRS[mark.char] for mark in reversed(state.openers)]
    most = choices[-1]
    behind = _closers(place.behind[most:], place.language, "")
    fitting = [
        n
        for n in choices
        if [*(char for char in rest[n:most] if char in CLOSERS), *behind] == wanted
        and not _QUOTES & set(rest[n:most])
    ]
    return fitting[0] if len(fitting) == 1 else None


def _n_faulty(place: CursorSite, text: str, rest: str, choices: Sequence[int]) -> int:
    """Return with how many closers less the line has no fault that it had not before."""
    is_inside = scan(place.before, place.language).quote != place.context.quote
    quote = place.context.quote if is_inside else ""  # of a string from a line above
    quotes = _QUOTES & set(rest[: choices[-1]])
    unharmed = _faults(place.before + rest, place.language, quote, quotes)
    for n_again in choices:
        line = place.before + text + rest[n_again:]
        found = _faults(line, place.language, quote, quotes)
        if found[1:] == unharmed[1:] and found[0] in ("", LINE_COMMENT, unharmed[0]):
            return n_again
    return 0


def _faults(
    line: str, language: Language | None, quote: str, quotes: AbstractSet[str]
) -> tuple[object, ...]:
    """Return the string that a line leaves open, and what in it fits no opener.

    It is looked at twice, by the language and by characters alone: in comments and strings, and
    where it is not known what is one, only the latter tells.
    """
    state = scan(line, language, quote)
    openers: list[str] = []
    misfits = []
    for char in line:
        if char in PAIRS:
            openers.append(PAIRS[char])
        elif char in CLOSERS and not (openers and openers.pop() == char):
            misfits.append(char)
    extra = tuple(mark.char for mark in state.extra)
    is_odd = tuple(line.count(char) % 2 for char in sorted(quotes))
    return state.quote, extra, state.n_crossed, tuple(misfits), is_odd


def stray_quote(place: CursorSite, text: str) -> RuleResult:
    """Drop a quote that ends no string, where only closers stand with it: `');` after a statement.

    >>> request = CompletionRequest(path="a.js", text="f('x');", offset=7)
    >>> stray_quote(CursorSite.of(request, multi_line=False), "');")
    RuleResult(text='', n_replaced=0)
    """
    is_stray = not place.context.quote and text[0] in _QUOTES and text.count(text[0]) % 2
    is_closing = not text.strip("".join(AUTO_CLOSED))
    return RuleResult("" if is_stray and is_closing else text)


def bracket_balance(place: CursorSite, text: str) -> RuleResult:
    """Cut at the first closer that neither the text nor the code before the cursor opened.

    Openers whose closers already stand behind the cursor are not for the text to close.
    """
    state = scan(text, place.language, place.context.quote)
    if not state.extra:
        return RuleResult(text)
    openers = [mark.char for mark in place.context.openers]
    n_replaced = _n_retyped(place, text, place.after.rstrip())
    closers = _closers(place.behind[n_replaced:], place.language, state.quote)
    can_close = functools.partial(_can_close, closers=closers, sees_all=place.sees_all)
    # A document that does not fit together without the text proves nothing against the text.
    before = _closers(place.behind, place.language, place.context.quote)
    fits = _can_close(openers, closers=before, sees_all=place.sees_all)
    ends = openers[: max(0, len(openers) - len(state.extra))]
    fits_at_end = can_close([*ends, *(mark.char for mark in state.openers)])
    for mark in state.extra:
        is_extra = PAIRS[openers.pop()] != mark.char if openers else place.sees_all
        fitted, fits = fits, can_close(openers)
        if is_extra or (fitted and not fits and not fits_at_end):
            return RuleResult(text[: mark.at].rstrip())
    return RuleResult(text)


@functools.lru_cache(maxsize=8)  # while one types, the text behind the cursor stays as it is
def _closers(text: str, language: Language | None, quote: str) -> tuple[str, ...]:
    return tuple(mark.char for mark in scan(text, language, quote).extra)


def _can_close(openers: list[str], *, closers: tuple[str, ...], sees_all: bool) -> bool:
    """Return whether `closers` close what is open, the last opener first."""
    if sees_all and len(closers) > len(openers):
        return False
    return all(
        PAIRS[char] == closer for char, closer in zip(reversed(openers), closers, strict=False)
    )


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


def too_short(place: CursorSite, text: str) -> RuleResult:
    """Drop fewer than two new visible characters, unless the one closes the line's last bracket."""
    n_replaced = suffix_overlap(place, text).n_replaced
    n_visible = sum(1 for char in text if not char.isspace())
    n_visible -= sum(1 for char in place.after[:n_replaced] if not char.isspace())
    if n_visible >= MIN_VISIBLE_CHARS:
        return RuleResult(text)
    openers = scan(place.before, place.language).openers
    closes = (
        n_replaced == 0
        and not place.after.strip()
        and len(openers) == 1
        and text.strip() == PAIRS[openers[0].char]
    )
    return RuleResult(text if closes else "")
