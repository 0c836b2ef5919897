"""From generated text to the edit that a user sees: named text rules, then the secret check.

Every rule only takes away. The rules run until the text is stable, so applying them to their own
output changes nothing. The rules here are about brackets and quotes: what an editor closed by
itself, what nothing opened; those about words, lines and indentation are in `rules`.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from assistant.filter import rules
from assistant.filter.rules import LINE_GOES_ON, CursorSite, RuleResult
from assistant.privacy.redaction import find
from assistant.request import CompletionRequest
from assistant.source.brackets import AUTO_CLOSED, CLOSERS, LINE_COMMENT, PAIRS, scan, scan_on
from assistant.source.languages import Language

MIN_VISIBLE_CHARS = 2

_QUOTES = frozenset("\"'`")
_ESCAPED = re.compile(r"\\.")
_NO_ANGLE = re.compile(r"[-=]>|[<>]=|<[<-]")  # arrows, comparisons, shifts
_MENDED = ("open", "odd")  # faults of a line that a text may mend
_TAIL = ";,: "  # what may stand behind a closer, or behind all of a line, in text and document
MAX_LINE_CHARS = 200  # of the line before the cursor that may be the start of a secret

Action = Literal["kept", "cut", "dropped"]
Rule = Callable[[CursorSite, str], RuleResult]


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
    is_code |= n_closers == 0 and rest[0] in _TAIL and len(rest.strip()) > 1  # `: "",`
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
    if not said or not rest:
        return 0
    if set(bare := said.lstrip()) <= _QUOTES and rest.startswith(bare):
        return len(bare)
    quote = rest[0] if rest[0] in _QUOTES and rest[1:2] != rest[0] else None
    if quote and place.before.endswith(quote) and said.startswith(2 * quote):
        return 1  # the first of three was closed when it was typed
    n_closers = len(rest) - len(rest.lstrip("".join(AUTO_CLOSED - {" "})))
    whole = len(place.context.quote) if rest.startswith(place.context.quote) else 0
    choices = [
        n for n in (0, *range(max(1, whole), n_closers + 1)) if _may_go(place, rest[:n], said)
    ]
    n_again = _n_unfitting(place, said, rest, choices)
    if n_again is None:
        n_again = _n_faulty(place, text, rest, choices)
    tail = said[len(said.rstrip(_TAIL)) :]
    is_again = rest.startswith(tail, n_again) and not rest.startswith(tail[-1:] * 2, n_again)
    return n_again + len(tail) if is_again else n_again


def _may_go(place: CursorSite, closers: str, text: str) -> bool:
    """Say whether the text stands for closers: it has them too, or it opens what they would close.

    Where a line goes on below (`run(async () => {`), brackets that were closed on it are not wanted
    there, though the text has none of them. A quote is never taken away untyped.
    """
    untyped = _untyped(closers, text)
    goes_on = text[-1] in LINE_GOES_ON and not place.is_part
    return not untyped or (set(untyped) <= CLOSERS and goes_on)


def _untyped(closers: str, text: str) -> list[str]:
    """Return those of the closers that the text does not type again in their order."""
    rest = iter(text)
    return [char for char in closers if char not in rest]


def _n_unfitting(place: CursorSite, text: str, rest: str, choices: Sequence[int]) -> int | None:
    """Return with how many closers less the whole document fits together; None if unclear."""
    goes_on = text[-1] in LINE_GOES_ON or any(char in text for char in CLOSERS)
    if place.context.quote or not (place.sees_all and goes_on):
        return None
    state = scan_on(place.context, text, place.language)
    if state.quote or len(state.extra) > len(place.context.extra):
        return None
    wanted = [PAIRS[mark.char] for mark in reversed(state.openers)]
    most = choices[-1]
    behind = _closers(place.behind[most:], place.language, "")
    is_cut = place.offset + len(place.behind) < len(place.document)  # more closers may follow

    def fits(n: int) -> bool:
        found = [*(char for char in rest[n:most] if char in CLOSERS), *behind]
        return found == (wanted[: len(found)] if is_cut else wanted)

    fitting = [n for n in choices if fits(n) and not _QUOTES & set(rest[n:most])]
    return fitting[0] if len(fitting) == 1 else None


def _n_faulty(place: CursorSite, text: str, rest: str, choices: Sequence[int]) -> int:
    """Return with how many closers less the line has the fewest faults that it had not before.

    None, mostly; but a line that ends what began above it has closers that fit nothing in it.
    """
    is_inside = scan(place.before, place.language).quote != place.context.quote
    quote = place.context.quote if is_inside else ""  # of a string from a line above
    marks = (_QUOTES | {">"}) & set(rest[: choices[-1]])
    n_slashes = len(place.before) - len(place.before.rstrip("\\"))
    before = place.before[: len(place.before) - n_slashes % 2]  # else it escapes what stands there
    unharmed = _faults(before + rest, place.language, quote, marks)
    unharmed = Counter({kind: n for kind, n in unharmed.items() if kind[0] not in _MENDED})

    def n_faults(n_again: int) -> int:
        line = place.before + text + rest[n_again:]
        found = _faults(line, place.language, quote, marks)
        return sum(abs(found[kind] - unharmed[kind]) for kind in found.keys() | unharmed.keys())

    return min(choices, key=n_faults)


def _faults(
    line: str, language: Language | None, quote: str, marks: AbstractSet[str]
) -> Counter[tuple[str, str]]:
    """Count the string that a line leaves open, and what in it fits no opener, by kind.

    It is looked at twice, by the language and by characters alone: in comments and strings, and
    where it is not known what is one, only the latter tells.
    """
    state = scan(line, language, quote)
    faults = Counter(("extra", mark.char) for mark in state.extra)
    faults["crossed", ""] = state.n_crossed
    if state.quote not in ("", LINE_COMMENT):
        faults["open", state.quote] = 1
    openers: list[str] = []
    for char in line:
        if char in PAIRS:
            openers.append(PAIRS[char])
        elif char in CLOSERS and not (openers and openers.pop() == char):
            faults["misfit", char] += 1
    plain = _ESCAPED.sub("", line)
    for char in _QUOTES & marks:
        faults["odd", char] = plain.count(char) % 2
    if ">" in marks:
        plain = _NO_ANGLE.sub("", plain)
        more = plain.count(">") - plain.count("<")
        faults["angle", ">" if more > 0 else "<"] = abs(more)
    return faults


def stray_quote(place: CursorSite, text: str) -> RuleResult:
    """Drop a quote that ends no string, where only closers stand with it: `');` after a statement.

    A quote alone, the rest of what was shown, begins one.

    >>> request = CompletionRequest(path="a.js", text="f('x');", offset=7)
    >>> stray_quote(CursorSite.of(request, multi_line=False), "');")
    RuleResult(text='', n_replaced=0)
    """
    is_stray = not place.context.quote and text[0] in _QUOTES and text.count(text[0]) % 2
    is_closing = not text.strip("".join(AUTO_CLOSED))
    is_opening = place.is_rest and len(text.strip()) == 1
    return RuleResult("" if is_stray and is_closing and not is_opening else text)


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


def too_short(place: CursorSite, text: str) -> RuleResult:
    """Drop fewer than two new visible characters, unless the one closes the line's last bracket.

    The rest of what was shown stays to its last character.
    """
    n_replaced = suffix_overlap(place, text).n_replaced
    closers = place.after[:n_replaced]
    n_visible = _n_visible(text) - _n_visible(closers) + _n_visible(_untyped(closers, text))
    if n_visible >= (1 if place.is_rest else MIN_VISIBLE_CHARS):
        return RuleResult(text)
    openers = scan(place.before, place.language).openers
    closes = (
        n_replaced == 0
        and not place.after.strip()
        and len(openers) == 1
        and text.strip() == PAIRS[openers[0].char]
    )
    return RuleResult(text if closes else "")


def _n_visible(text: Iterable[str]) -> int:
    return sum(1 for char in text if not char.isspace())


class TextEdit(NamedTuple):
    """Put `text` in place of [start, end) of the document; both are on the cursor's line."""

    text: str
    start: int
    end: int


class RuleVerdict(NamedTuple):
    """What one rule did to the text that reached it."""

    rule: str
    action: Action
    n_chars: int  # characters taken away


class FilterResult(NamedTuple):
    """The edit, or None for silence, and every rule's verdict in order."""

    edit: TextEdit | None
    verdicts: tuple[RuleVerdict, ...]


def filter_text(
    request: CompletionRequest,
    text: str,
    *,
    multi_line: bool,
    is_rest: bool = False,
    is_part: bool = False,
) -> FilterResult:
    """Return the edit that is left of generated `text`, and what each rule did to it.

    The rules run until the text is stable; what then holds a secret is dropped whole. `is_rest`
    says that the user has typed along the beginning of what was shown, `is_part` that the line is
    to go on behind the text.
    """
    place = CursorSite.of(request, multi_line=multi_line, is_rest=is_rest, is_part=is_part)
    verdicts: list[RuleVerdict] = []
    while True:
        draft = _round(place, text, verdicts)
        if not draft.text:
            return FilterResult(None, tuple(verdicts))
        if draft.text == text:
            break
        text = draft.text
    if holds_secret(place.before, text):
        verdicts.append(RuleVerdict("secret", "dropped", len(text)))
        return FilterResult(None, tuple(verdicts))
    edit = TextEdit(text, request.offset, request.offset + draft.n_replaced)
    return FilterResult(edit, tuple(verdicts))


def holds_secret(before: str, text: str) -> bool:
    """Say whether `text`, behind what its line holds already, shows a secret or a part of one."""
    before = before[-MAX_LINE_CHARS:]
    return any(end > len(before) for end in _secret_ends(before + text))


@functools.lru_cache(maxsize=32)  # who types along a suggestion makes the same line of them
def _secret_ends(line: str) -> tuple[int, ...]:
    return tuple(finding.end for finding in find(line))


RULES: tuple[Rule, ...] = (
    rules.control_characters,  # first: they could hide a marker
    rules.marker_text,
    rules.line_limit,
    rules.repetition,
    rules.foreign_line,
    rules.indentation,
    rules.repeated_previous,
    rules.duplicate_following,
    suffix_overlap,
    rules.glued_word,
    stray_quote,
    bracket_balance,
    rules.trailing_space,
    too_short,
)


def _round(place: CursorSite, text: str, verdicts: list[RuleVerdict]) -> RuleResult:
    """Run every rule once, stopping where nothing is left."""
    n_replaced = 0
    for rule in RULES:
        if not text:
            break
        draft = rule(place, text)
        n_taken = len(text) - len(draft.text)
        action: Action = "dropped" if not draft.text else "cut" if n_taken else "kept"
        verdicts.append(RuleVerdict(rule.__name__, action, n_taken))
        text = draft.text
        n_replaced = max(n_replaced, draft.n_replaced)
    return RuleResult(text, n_replaced)
