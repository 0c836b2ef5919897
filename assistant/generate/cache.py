"""Suggestions kept, so that nothing is computed twice.

An entry is found again at the same place, and also further on while the user types exactly what was
suggested: then the rest of it is the suggestion. What is kept is the text as generated, before
post-processing, because the rest of the line may change meanwhile (an auto-closed bracket).
Knows texts and offsets, and of models a number: one's words are no answer of another's.
Not locked: the engine calls it under its own lock.
"""

import dataclasses
from dataclasses import dataclass, field

from assistant.request import CompletionRequest
from model.lru import LRU

MAX_ENTRIES = 64
BEFORE_CHARS = 1_024  # of the text before the cursor that must be the same
AFTER_CHARS = 256  # and after it
_CLOSERS = frozenset(")]}>\"'`")  # what editors insert by themselves while one types
_MAX_CLOSERS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """What is suggested at a cursor, cut where a suggestion ends."""

    text: str
    source: str  # "network", "index" or "remote"
    finish_reason: str
    logprob: float
    multi_line: bool  # it may run over several lines
    probability: float = 0.0  # that it is right, as judged when it was made
    is_rest: bool = field(default=False, compare=False)  # its beginning was shown, and typed
    is_shown: bool = True  # no: known, but not sure enough; more typing may change that
    beliefs: tuple[tuple[str, float], ...] = ()  # all proposals for the line, and their shares


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    offset: int
    before: str
    after: str
    n: int  # how many were asked for; fewer may have come
    drafts: tuple[Suggestion, ...]
    n_chars: int  # of the longest draft: further on, nothing of it is left


class SuggestionCache:
    """A small LRU over cursor positions."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._entries: LRU[tuple[int, str, str | None, int, str], _Entry] = LRU(max_entries)

    def put(
        self, request: CompletionRequest, drafts: tuple[Suggestion, ...], *, model: int = 0
    ) -> None:
        """Keep `drafts`; an empty tuple means that there is nothing to suggest here."""
        entry = _Entry(
            offset=request.offset,
            before=request.text[max(0, request.offset - BEFORE_CHARS) : request.offset],
            after=request.text[request.offset : request.offset + AFTER_CHARS],
            n=request.n,
            drafts=drafts,
            n_chars=max((len(draft.text) for draft in drafts), default=0),
        )
        key = (model, request.document, request.language, request.offset, entry.before[-80:])
        self._entries.put(key, entry)

    def get(self, request: CompletionRequest, *, model: int = 0) -> tuple[Suggestion, ...] | None:
        """Return what is left of kept suggestions here; None if the model must be asked."""
        for key in reversed(self._entries):
            entry = self._entries[key]
            if key[:3] != (model, request.document, request.language) or entry.n < request.n:
                continue
            if entry.n > request.n and entry.offset == request.offset:
                continue  # asked for by hand, so without the confidence gate, which holds here
            left = _left(entry, request)
            if left is not None:
                self._entries.move_to_end(key)
                return left
        return None

    def clear(self) -> None:
        """Forget everything: the model or a setting changed."""
        self._entries.clear()


def _left(entry: _Entry, request: CompletionRequest) -> tuple[Suggestion, ...] | None:
    """Return what of `entry` still lies ahead of the cursor; None if it does not apply."""
    text, offset = request.text, request.offset
    begin = entry.offset
    if not begin <= offset <= begin + entry.n_chars:
        return None
    if not text.endswith(entry.before, 0, begin):
        return None
    typed = text[begin:offset]
    if not _same_after(entry.after, text, offset, bool(typed)):
        return None
    if not typed:
        return entry.drafts
    left = tuple(
        _cut(draft, len(typed))
        for draft in entry.drafts
        if draft.is_shown and draft.text.startswith(typed) and _worth_keeping(draft, len(typed))
    )
    return left or None


def _worth_keeping(draft: Suggestion, n_typed: int) -> bool:
    """Say whether enough is left; one cut off for its length would go on further by now."""
    if draft.finish_reason == "length":
        return 2 * n_typed <= len(draft.text)
    return n_typed < len(draft.text)


def _cut(draft: Suggestion, n_typed: int) -> Suggestion:
    typed = draft.text[:n_typed]
    beliefs = tuple((t[n_typed:], share) for t, share in draft.beliefs if t.startswith(typed))
    return dataclasses.replace(draft, text=draft.text[n_typed:], beliefs=beliefs, is_rest=True)


def _same_after(after: str, text: str, offset: int, typed: bool) -> bool:
    """Say whether the text after the cursor is as it was, but for brackets closed automatically."""
    if text[offset : offset + AFTER_CHARS] == after:
        return True
    if not typed:
        return False
    for n_closers in range(1, _MAX_CLOSERS + 1):
        if text[offset + n_closers - 1 : offset + n_closers] not in _CLOSERS:
            return False
        start = offset + n_closers
        if text[start : start + AFTER_CHARS] == after:
            return True
    return False
