"""Answers that outlive their request: what a question's answer is worth to a later one.

Someone who types on what was being suggested asks again at each key. The earlier answer is still
the right one as far as it begins with what was typed meanwhile. Knows texts and offsets.
"""

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass

from assistant.completion import CompletionRequest

MAX_ENTRIES = 16
_BEFORE_CHARS = 1_024  # of the text before the cursor that must be the same
_AFTER_CHARS = 256
_MAX_TYPED_CHARS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteText:
    """What a server wrote for a cursor, checked."""

    text: str
    finish_reason: str
    single_line: bool
    prompt_tokens: int
    new_tokens: int
    marks: tuple[tuple[int, float], ...] = ()  # (characters, logarithm so far); empty: unknown
    n_typed: int = 0  # characters of it that the user has typed meanwhile

    def logprob(self, n_chars: int) -> float | None:
        """Return the server's word on the first `n_chars` characters; None if it gave none."""
        if not self.marks:
            return None
        return next((so_far for end, so_far in self.marks if end >= n_chars), self.marks[-1][1])

    def after(self, n_typed: int) -> "RemoteText":
        """Return what is left once the user has typed the beginning."""
        known = [so_far for end, so_far in self.marks if end <= n_typed]
        spent = known[-1] if known else 0.0  # a token typed in part is still to be paid for
        return dataclasses.replace(
            self,
            text=self.text[n_typed:],
            marks=tuple((end - n_typed, sum_ - spent) for end, sum_ in self.marks if end > n_typed),
            n_typed=self.n_typed + n_typed,
        )


def typed_since(asked: CompletionRequest, now: CompletionRequest) -> str | None:
    """Return what was typed at the cursor between two requests; None if anything else changed."""
    if (asked.path, asked.language) != (now.path, now.language):
        return None
    n_typed = now.offset - asked.offset
    if not 0 <= n_typed <= _MAX_TYPED_CHARS:
        return None
    before = asked.text[max(0, asked.offset - _BEFORE_CHARS) : asked.offset]
    after = asked.text[asked.offset : asked.offset + _AFTER_CHARS]
    if not now.text.endswith(before, 0, asked.offset):
        return None
    if now.text[now.offset : now.offset + _AFTER_CHARS] != after:
        return None
    return now.text[asked.offset : now.offset]


class LateAnswers:
    """The last few answers; the caller locks."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, int], tuple[CompletionRequest, RemoteText]] = (
            OrderedDict()
        )

    def put(self, request: CompletionRequest, answer: RemoteText) -> None:
        """Keep an answer."""
        key = (request.path, request.offset)
        self._entries[key] = (request, answer)
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def get(self, request: CompletionRequest) -> RemoteText | None:
        """Return what is left of a kept answer at this cursor."""
        for asked, answer in reversed(self._entries.values()):
            typed = typed_since(asked, request)
            if typed is None or not answer.text.startswith(typed) or answer.text == typed:
                continue
            return answer.after(len(typed))
        return None
