"""Suggestions kept, so that nothing is computed twice.

An entry is found again at the same place, and also further on while the user types exactly what was
suggested: then the rest of it is the suggestion. What is kept is the text as generated, before
post-processing, because the rest of the line may change meanwhile (an auto-closed bracket). What
was changed elsewhere, in the document or in another, asks for another text: nothing is kept then.
Not locked: the engine calls it under its own lock.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple, Self

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
    is_part: bool = False  # of a line, the rest of which was not sure enough
    probability: float = 0.0  # that it is right, as judged when it was made
    is_rest: bool = field(default=False, compare=False)  # its beginning was shown, and typed
    is_shown: bool = True  # no: known, but not sure enough; more typing may change that
    beliefs: tuple[tuple[str, float], ...] = ()  # all proposals for the line, and their shares


class Spot(NamedTuple):
    """A cursor, and the text around it that tells whether only typing came since."""

    document: str
    language: str | None
    offset: int
    before: str
    after: str

    @classmethod
    def of(cls, request: CompletionRequest) -> Self:
        """Return a request's cursor."""
        text, offset = request.text, request.offset
        before = text[max(0, offset - BEFORE_CHARS) : offset]
        after = text[offset : offset + AFTER_CHARS]
        return cls(request.document, request.language, offset, before, after)

    def typed_since(self, now: CompletionRequest) -> str | None:
        """Return what was typed since at the cursor; None if anything else changed.

        Brackets and quotes that an editor closes by itself do not count, nor does one that stood
        behind the cursor and was typed over.
        """
        text, begin, offset = now.text, self.offset, now.offset
        if (self.document, self.language) != (now.document, now.language):
            return None
        if offset < begin or not text.endswith(self.before, 0, begin):
            return None
        typed = text[begin:offset]
        for n_over in range(_n_typed_over(self.after, typed) + 1):
            after = self.after[n_over:]
            for end in range(offset, offset + (_MAX_CLOSERS if typed else 0) + 1):
                if text[end : end + AFTER_CHARS - n_over] == after:
                    return typed
                if text[end : end + 1] not in _CLOSERS:
                    break
        return None


def _n_typed_over(after: str, typed: str) -> int:
    """Return how many closers that `after` begins with were typed, in their order."""
    rest = iter(typed)
    closers = after[:_MAX_CLOSERS]
    return next(
        (n for n, char in enumerate(closers) if char not in _CLOSERS or char not in rest),
        len(closers),
    )


class _Entry(NamedTuple):
    spot: Spot
    n: int  # how many were asked for; fewer may have come
    drafts: tuple[Suggestion, ...]
    n_chars: int  # of the longest draft: further on, nothing of it is left
    n_after: int  # characters of the document after the cursor
    far: int  # what stands in it further from the cursor than the spot tells, hashed


class SuggestionCache:
    """A small LRU over cursor positions."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._entries: LRU[tuple[int, Spot], _Entry] = LRU(max_entries)

    def put(
        self, request: CompletionRequest, drafts: tuple[Suggestion, ...], *, model: int = 0
    ) -> None:
        """Keep `drafts`; an empty tuple means that there is nothing to suggest here."""
        spot = Spot.of(request)
        n_chars = max((len(draft.text) for draft in drafts), default=0)
        key = model, spot._replace(before=spot.before[-80:], after="")
        n_after = len(request.text) - request.offset
        far = _far(request.text, request.offset, n_after)
        self._entries.put(key, _Entry(spot, request.n, drafts, n_chars, n_after, far))

    def get(self, request: CompletionRequest, *, model: int = 0) -> tuple[Suggestion, ...] | None:
        """Return what is left of kept suggestions here; None if the model must be asked."""
        for key in reversed(self._entries):
            entry = self._entries[key]
            if key[0] != model or entry.n < request.n:
                continue
            if entry.n > request.n and entry.spot.offset == request.offset:
                continue  # asked for by hand, so without the confidence gate, which holds here
            left = _left(entry, request)
            place = entry.spot.offset, entry.n_after
            if left is not None and _far(request.text, *place) == entry.far:
                self._entries.move_to_end(key)
                return left
        return None

    def keep_only(self, document: str) -> None:
        """Forget what was suggested in others: this one has changed, and is searched for them."""
        for key in [key for key in self._entries if key[1].document != document]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything: the model or a setting changed."""
        self._entries.clear()


def _far(text: str, n_before: int, n_after: int) -> int:
    """Hash what stands further from a cursor than a spot tells, without what was typed there."""
    head = text[: max(0, n_before - BEFORE_CHARS)]
    return hash((head, text[len(text) - n_after + AFTER_CHARS :]))


def _left(entry: _Entry, request: CompletionRequest) -> tuple[Suggestion, ...] | None:
    """Return what of `entry` still lies ahead of the cursor; None if it does not apply."""
    if request.offset > entry.spot.offset + entry.n_chars:
        return None
    typed = entry.spot.typed_since(request)
    if typed is None:
        return None
    if not typed:
        return entry.drafts
    left = tuple(
        _cut(draft, len(typed))
        for draft in entry.drafts
        if draft.is_shown and draft.text.startswith(typed) and len(typed) < len(draft.text)
        # One cut off for its length would go on further by now.
        if draft.finish_reason != "length" or 2 * len(typed) <= len(draft.text)
    )
    return left or None


def _cut(draft: Suggestion, n_typed: int) -> Suggestion:
    typed = draft.text[:n_typed]
    beliefs = tuple((t[n_typed:], share) for t, share in draft.beliefs if t.startswith(typed))
    return dataclasses.replace(draft, text=draft.text[n_typed:], beliefs=beliefs, is_rest=True)
