"""Greedy decoding, one token a step, under a healing constraint.

Pulled, not pushed: each `next()` runs the network once, so a consumer that has enough simply stops
pulling. Knows ids and bytes; where a suggestion ends as text is the caller's business.
Shapes: V vocabulary.
"""

import codecs
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.healing import Ids, TokenTable, after

Logits = NDArray[np.float32]


class Steps(Protocol):
    """What decoding needs of a cache that grows."""

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        ...

    def append(self, ids: Sequence[int]) -> Logits:
        """Add `ids` to the cache; return the scores (V,) after the last."""
        ...


class DecodeError(ValueError):
    """The network gave scores that nothing can be chosen from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A chosen token: its bytes beyond those to be re-spelled, and its log P among the allowed."""

    id: int
    text: bytes
    logprob: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Healed:
    """A cache that has spelled what it can of the tail: the next token shows something new."""

    length: int  # tokens in the cache
    logits: Logits  # (V,), our own copy
    rest: bytes  # still to be spelled by the next token
    n_tokens: int  # spent on healing


def heal(
    steps: Steps,
    logits: Logits,
    table: TokenTable,
    required: bytes,
    should_stop: Callable[[], bool],
) -> Healed | None:
    """Spell `required` greedily until a token would go beyond it; None when told to stop."""
    rest, n_tokens = required, 0
    while rest:
        if should_stop():
            return None
        token = choices(logits, table, rest, 1)[0]
        if token.text:
            break
        rest, _ = after(rest, table.bytes_of[token.id])
        logits = steps.append([token.id])
        n_tokens += 1
    return Healed(length=steps.length, logits=logits.copy(), rest=rest, n_tokens=n_tokens)


def choices(logits: Logits, table: TokenTable, rest: bytes, n: int) -> list[Token]:
    """Return the `n` likeliest next tokens, best first.

    While bytes are still to be spelled only ordinary tokens that fit them are allowed; after that
    any ordinary token or the end. Other special tokens are never chosen.
    """
    allowed: Ids | None = None
    if rest:
        allowed = table.allowed(rest)
        scores = logits[allowed]
    else:
        scores = logits[: table.n_scored]
        if table.forbidden.size:
            scores = scores.copy()
            scores[table.forbidden] = -np.inf
    best = [int(scores.argmax())] if n == 1 else _top(scores, n)
    peak = float(scores[best[0]])
    if not math.isfinite(peak):
        raise DecodeError(f"the model's best score is {peak}; its weights or runtime are damaged")
    weights = scores - np.float32(peak)
    log_sum = peak + math.log(np.exp(weights, out=weights).sum())
    tokens = []
    for place in best:
        id_ = int(allowed[place]) if allowed is not None else place
        text = b"" if id_ == table.end_id else table.bytes_of[id_][len(rest) :]
        tokens.append(Token(id=id_, text=text, logprob=float(scores[place]) - log_sum))
    return tokens


def _top(scores: Logits, n: int) -> list[int]:
    """Return the places of the `n` highest finite scores, best first; the first wins a tie."""
    order = np.argsort(-scores, kind="stable")[:n]
    kept = [int(place) for place in order if np.isfinite(scores[place])]
    return kept or [int(order[0])]


def decode(
    steps: Steps,
    table: TokenTable,
    first: Token,
    *,
    rest: bytes = b"",
    max_new_tokens: int,
    should_stop: Callable[[], bool],
) -> Iterator[Token]:
    """Yield `first`, then the likeliest token after it, and so on.

    `rest` is what was still to be spelled when `first` was chosen. Ends after the end token, after
    `max_new_tokens`, or before the next network step once `should_stop()` is true. The last token
    yielded is not in the cache yet.
    """
    token = first
    for _ in range(max_new_tokens - 1):
        yield token
        if token.id == table.end_id or should_stop():
            return
        rest, _text = after(rest, table.bytes_of[token.id])
        token = choices(steps.append([token.id]), table, rest, 1)[0]
    yield token


class Utf8Stream:
    """Bytes in, text out at character borders.

    `broken` turns true at the first byte that cannot continue valid UTF-8; nothing comes after it:
    a replacement character in somebody's source file is worse than a shorter suggestion.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.broken = False

    def feed(self, data: bytes) -> str:
        """Return the characters completed by `data`."""
        if self.broken:
            return ""
        state = self._decoder.getstate()
        try:
            return self._decoder.decode(data)
        except UnicodeDecodeError as error:
            self.broken = True
            whole = (state[0] + data)[: error.start]
            return whole.decode("utf-8")
