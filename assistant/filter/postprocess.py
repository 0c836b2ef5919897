"""From generated text to the edit that a user sees: named text rules, then the secret check.

Every rule only takes away. The rules run until the text is stable, so applying them to their own
output changes nothing.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

from assistant.filter import closer_rules, rules
from assistant.filter.rules import CursorSite, RuleResult
from assistant.privacy.redaction import find
from assistant.request import CompletionRequest

MAX_LINE_CHARS = 200  # of the line before the cursor that may be the start of a secret

Action = Literal["kept", "cut", "dropped"]
Rule = Callable[[CursorSite, str], RuleResult]

RULES: tuple[Rule, ...] = (
    rules.control_characters,  # first: they could hide a marker
    rules.marker_text,
    rules.line_limit,
    rules.repetition,
    rules.foreign_line,
    rules.indentation,
    rules.repeated_previous,
    rules.duplicate_following,
    closer_rules.suffix_overlap,
    rules.glued_word,
    closer_rules.stray_quote,
    closer_rules.bracket_balance,
    rules.trailing_space,
    closer_rules.too_short,
)


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
    request: CompletionRequest, text: str, *, multi_line: bool, is_rest: bool = False
) -> FilterResult:
    """Return the edit that is left of generated `text`, and what each rule did to it.

    The rules run until the text is stable; what then holds a secret is dropped whole. `is_rest`
    says that the user has typed along the beginning of what was shown.
    """
    place = CursorSite.of(request, multi_line=multi_line, is_rest=is_rest)
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
