"""The nouns between a policy and a server: what is asked, what comes back, and who translates.

A Backend is one wire format: it writes a request's body and reads the objects of the streamed
answer. It does no input or output, so each format is tested on plain values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Framing = Literal["sse", "ndjson"]


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
