"""Greedy decoding, one token a step, once the end of the prefix is spelled again (healing).

Pulled, not pushed: each `next()` runs the network once, so a consumer that has enough simply stops
pulling. Knows ids and bytes; where a suggestion ends as text is the caller's business.
Shapes: V vocabulary.
"""

import codecs
import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from operator import eq
from typing import NamedTuple

import numpy as np

from model.healing import Ids, TokenTable
from model.prefix_cache import PrefixCache
from model.runtime import Logits

MAX_SPELLINGS = 8  # steps of healing before the best spelling so far is taken


class DecodeError(ValueError):
    """The network gave scores that nothing can be chosen from."""


class Token(NamedTuple):
    """A chosen token: its bytes beyond those to be re-spelled, and its log P among the allowed."""

    id: int
    text: bytes
    logprob: float


class Healed(NamedTuple):
    """A cache that has spelled what it can of the tail: the next token shows something new."""

    length: int  # tokens in the cache
    logits: Logits  # (V,), our own copy
    rest: bytes  # still to be spelled by the next token
    n_tokens: int  # spent on healing


def heal(
    steps: PrefixCache,
    logits: Logits,
    table: TokenTable,
    required: bytes,
    should_stop: Callable[[], bool],
) -> Healed | None:
    """Spell `required` by its likeliest tokens, as far as one that reaches its end or beyond.

    Greedy choices lead astray: a short token may be likely for the sake of other text than what is
    required. So the likeliest beginning is extended first. Each token makes it less likely, hence
    the first that is whole is the likeliest of all. None when told to stop.
    """
    if not required:
        return Healed(length=steps.length, logits=logits.copy(), rest=b"", n_tokens=0)
    start, here, n_tried = steps.length, _Spelling(0.0, (), required), 0
    begun, whole = [here], list[_Spelling]()
    while begun and not (whole and min(whole) <= begun[0]):
        if should_stop():
            return None
        if n_tried >= MAX_SPELLINGS:
            if whole:
                break
            del begun[1:]  # greedily from here on
        here, before = heapq.heappop(begun), here
        scores = _go_to(steps, logits, start, before.ids, here.ids)
        n_tried += 1
        total = here.surprise + log_sum(scores[: table.n_scored])
        if (last := table.beginning_with(here.rest)).size:
            whole.append(here._replace(surprise=total - float(scores[last].max())))
        for id_ in map(int, table.inside(here.rest)):
            rest = here.rest[len(table.bytes_of[id_]) :]
            heapq.heappush(begun, _Spelling(total - float(scores[id_]), (*here.ids, id_), rest))
    best = min(whole)
    scores = _go_to(steps, logits, start, here.ids, best.ids)
    return Healed(length=steps.length, logits=scores.copy(), rest=best.rest, n_tokens=len(best.ids))


class _Spelling(NamedTuple):
    """Tokens that spell a beginning of what is required."""

    surprise: float  # -log P of the tokens; of a whole one with the likeliest last token
    ids: tuple[int, ...]
    rest: bytes  # still to be spelled


def _go_to(
    steps: PrefixCache, logits: Logits, start: int, held: Sequence[int], wanted: Sequence[int]
) -> Logits:
    """Replace the tokens `held` behind `start` by those `wanted`; return the scores after them."""
    n_same = sum(takewhile(bool, map(eq, held, wanted[:-1])))
    steps.rewind(start + n_same)
    return steps.append(wanted[n_same:]) if wanted else logits


def choices(logits: Logits, table: TokenTable, rest: bytes, n: int) -> list[Token]:
    """Return the `n` likeliest next tokens, best first.

    Only ordinary tokens that begin with `rest` are allowed; where it is empty, any ordinary token
    or the end. Other special tokens are never chosen.
    """
    allowed: Ids | None = None
    if rest:
        allowed = table.beginning_with(rest)
        scores = logits[allowed]
    else:
        scores = logits[: table.n_scored]
        if table.forbidden.size:
            scores = scores.copy()
            scores[table.forbidden] = -np.inf
    best = [int(scores.argmax())] if n == 1 else _top(scores, n)
    total, tokens = log_sum(scores), []
    for place in best:
        id_ = int(allowed[place]) if allowed is not None else place
        text = b"" if id_ == table.end_id else table.bytes_of[id_][len(rest) :]
        tokens.append(Token(id=id_, text=text, logprob=float(scores[place]) - total))
    return tokens


def log_sum(scores: Logits) -> float:
    """Return the logarithm of the sum of e to the power of each score."""
    peak = float(scores.max())
    if not math.isfinite(peak):
        raise DecodeError(f"the model's best score is {peak}; its weights or runtime are damaged")
    return peak + math.log(float(np.exp(scores - np.float32(peak)).sum()))


def _top(scores: Logits, n: int) -> list[int]:
    """Return the places of the `n` highest finite scores, best first; the first wins a tie."""
    order = np.argsort(-scores, kind="stable")[:n]
    kept = [int(place) for place in order if np.isfinite(scores[place])]
    return kept or [int(order[0])]


def decode(
    steps: PrefixCache,
    table: TokenTable,
    first: Token,
    *,
    max_new_tokens: int,
    should_stop: Callable[[], bool],
) -> Iterator[Token]:
    """Yield `first`, then the likeliest token after it, and so on.

    Ends after the end token, after
    `max_new_tokens`, or before the next network step once `should_stop()` is true. The last token
    yielded is not in the cache yet.
    """
    token = first
    for _ in range(max_new_tokens - 1):
        yield token
        if token.id == table.end_id or should_stop():
            return
        token = choices(steps.append([token.id]), table, b"", 1)[0]
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
