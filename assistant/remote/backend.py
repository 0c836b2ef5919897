"""The nouns between a policy and a server: what is asked, what comes back, and who translates.

A Backend is one wire format: it writes a request's body and reads the objects of the streamed
answer. It does no input or output, so each format is tested on plain values. What formats share in
reading such objects is here too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from assistant.remote.errors import NotUnderstoodError

Framing = Literal["sse", "ndjson"]
_LENGTH = frozenset({"length", "max_tokens", "model_length", "limit"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a server is asked; the texts are as they leave the machine."""

    prefix: str
    suffix: str
    language: str
    max_new_tokens: int
    single_line: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One object of a streamed answer; a field that it lacks is empty, or None."""

    text: str = ""
    finish_reason: str | None = None  # "stop" or "length"
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    logprob: float | None = None  # of its tokens together, if the server says


class Backend(Protocol):
    """One provider's way of saying things."""

    framing: Framing

    @property
    def path(self) -> str:
        """Where to post, after the base address."""

    def body(self, question: Question) -> dict[str, Any]:
        """Return the request; WithheldError if this text cannot be asked about in this format."""

    def piece(self, table: Mapping[str, Any]) -> Piece:
        """Read one object of the answer; NotUnderstoodError if it is of another format."""

    def tidy(self, text: str) -> str:
        """Return the whole answer without what the format adds to it."""


def choice_of(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first choice; an empty table for the last chunk, which holds only the usage."""
    raise_error(table)
    choices = table.get("choices")
    if not isinstance(choices, list):
        raise NotUnderstoodError("an object of the answer has no `choices`")
    if not choices:
        return {}
    if not isinstance(choices[0], Mapping):
        raise NotUnderstoodError("a choice of the answer is no object")
    return choices[0]


def piece_of(text: object, reason: object, usage: object, logprob: float | None = None) -> Piece:
    """Return a piece of what an object holds, checked."""
    if text is not None and not isinstance(text, str):
        raise NotUnderstoodError("the text of an answer is no text")
    counts = usage if isinstance(usage, Mapping) else {}
    finish = None
    if isinstance(reason, str) and reason:
        finish = "length" if reason in _LENGTH else "stop"
    return Piece(
        text=text or "",
        finish_reason=finish,
        prompt_tokens=_count(counts.get("prompt_tokens")),
        new_tokens=_count(counts.get("completion_tokens")),
        logprob=logprob,
    )


def logprob_of(told: object) -> float | None:
    """Return the sum of what a server says of a piece's tokens; None if it says nothing usable.

    It is a list of objects, such a list under `content`, or numbers under `token_logprobs`.
    """
    listed = told
    if isinstance(told, Mapping):
        listed = told.get("token_logprobs") or told.get("content")
    if not isinstance(listed, list) or not listed:
        return None
    numbers: list[Any] = [
        each.get("logprob") if isinstance(each, Mapping) else each for each in listed
    ]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        return None
    return float(sum(min(number, 0.0) for number in numbers))


def _count(value: object) -> int | None:
    """Return a plausible number of tokens; servers' statistics are not to be trusted with more."""
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def raise_error(table: Mapping[str, Any]) -> None:
    """Raise NotUnderstoodError if the object speaks of an error."""
    if table.get("error"):
        raise NotUnderstoodError("the server reports an error instead of text")
