"""What an index answers: places that agree with the text before a cursor, in nested levels.

A place agrees by `length` bytes if so many bytes just before it equal the bytes before the cursor.
Level by level the length shrinks and the count of places grows, at least twofold. The same for one
document's own text is here too, without any index. Knows bytes; knows neither files nor tokens.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

MIN_MATCH = 4  # bytes; shorter agreement says nothing
MAX_CONTEXT = 512  # bytes before the cursor that are compared
MAX_SAMPLED = 64  # occurrences given of one level
FOLLOWING_BYTES = 160
MAX_LEVELS = 6

Positions = NDArray[np.int64]
_MANY = 2000
_LENGTH = operator.attrgetter("length")


class Occurrence(NamedTuple):  # some two hundred are made for each answer
    """One place that agrees."""

    length: int  # bytes just before it that equal the bytes before the cursor
    following: bytes  # what follows it, cut after FOLLOWING_BYTES and at the end of its file
    path: str  # relative, forward slashes
    layer: str  # "file" (the document itself), "open" (another open document), "repo", "deps"


@dataclass(frozen=True, slots=True)
class Level:
    """All places that agree by at least `length` bytes."""

    length: int
    count: int  # exact
    occurrences: tuple[Occurrence, ...]  # all, or MAX_SAMPLED evenly spread; longest match first


class SearchableIndex(Protocol):
    """What proposes continuations."""

    def levels(self, context: bytes, *, path: str, max_levels: int = MAX_LEVELS) -> list[Level]:
        """Return where `context`, the bytes before the cursor, stands elsewhere; longest first.

        `path` is the document itself, whose copy in the index is left out. Each next level is the
        longest at which the count has at least doubled; none is shorter than MIN_MATCH.
        """


class Source(Protocol):
    """The places of one text or index that agree with one context."""

    @property
    def longest(self) -> int:
        """The longest agreement in bytes; below MIN_MATCH if there is none that counts."""

    def count(self, length: int) -> int:
        """Return how many places agree by at least `length` bytes, MIN_MATCH or more."""

    def pick(self, length: int, n: int) -> list[Occurrence]:
        """Return `n` of those places, evenly spread, or all if there are fewer."""


def nested_levels(sources: Sequence[Source], max_levels: int = MAX_LEVELS) -> list[Level]:
    """Return the levels over several sources together."""
    length = max((source.longest for source in sources), default=0)
    if length < MIN_MATCH or max_levels < 1:
        return []
    levels = [_level(sources, length)]
    while len(levels) < max_levels:
        shorter = _where_doubled(sources, levels[-1])
        if shorter is None:
            break
        levels.append(_level(sources, shorter))
    return levels


def _where_doubled(sources: Sequence[Source], level: Level) -> int | None:
    wanted = 2 * level.count
    low, high = MIN_MATCH, level.length  # the count is enough at `low`, and not at `high`
    if low >= high or _total(sources, low) < wanted:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _total(sources, middle) >= wanted:
            low = middle
        else:
            high = middle
    return low


def _total(sources: Sequence[Source], length: int) -> int:
    return sum(source.count(length) for source in sources)


def _level(sources: Sequence[Source], length: int) -> Level:
    counts = [source.count(length) for source in sources]
    total = sum(counts)
    n_wanted = min(total, MAX_SAMPLED)
    found: list[Occurrence] = []
    seen = 0
    for source, count in zip(sources, counts, strict=True):
        # Each source gives its share; rounding the running sum keeps the shares' sum.
        share = n_wanted * (seen + count) // total - n_wanted * seen // total
        seen += count
        if share:
            found += source.pick(length, share)
    found.sort(key=_LENGTH, reverse=True)  # stable: nearer sources stay first
    return Level(length, total, tuple(found))


def document_levels(
    before: bytes, after: bytes, *, path: str, max_levels: int = MAX_LEVELS
) -> list[Level]:
    """Return the levels of the current document's own text, layer "file".

    `after` begins behind the cursor's line: what the user is replacing is no evidence. Nothing
    matches or continues across the cursor.
    """
    context = before[-MAX_CONTEXT:]
    earlier = TextSource(before, context, path=path, layer="file", has_cursor_at_end=True)
    later = TextSource(after, context, path=path, layer="file")
    return nested_levels([earlier, later], max_levels)


class TextSource:
    """The agreeing places of one text in RAM, found by looking at all of it."""

    def __init__(
        self,
        text: bytes,
        context: bytes,
        *,
        path: str,
        layer: str,
        has_cursor_at_end: bool = False,
    ) -> None:
        self._text = text
        self._path = path
        self._layer = layer
        places, lengths = agreeing(text, context)
        if has_cursor_at_end:  # the cursor agrees with itself
            elsewhere = places < len(text)
            places, lengths = places[elsewhere], lengths[elsewhere]
        self._places, self._lengths = places, lengths
        self._sorted = np.sort(lengths)

    @property
    def longest(self) -> int:
        """The longest agreement in bytes."""
        return int(self._sorted[-1]) if len(self._sorted) else 0

    def count(self, length: int) -> int:
        """Return how many places agree by at least `length` bytes."""
        return len(self._sorted) - int(self._sorted.searchsorted(length))

    def pick(self, length: int, n: int) -> list[Occurrence]:
        """Return `n` of them, evenly spread over the text."""
        chosen = spread(np.flatnonzero(self._lengths >= length), n)
        return [
            Occurrence(
                int(self._lengths[index]),
                self._text[place : place + FOLLOWING_BYTES],
                self._path,
                self._layer,
            )
            for index in chosen
            for place in [int(self._places[index])]
        ]


def spread(items: Positions, n: int) -> Positions:
    """Return `n` of the items, evenly spread, or all if there are fewer."""
    return items if len(items) <= n else items[np.arange(n) * len(items) // n]


def agreeing(text: bytes, context: bytes) -> tuple[Positions, Positions]:
    """Return the places in `text` that agree by MIN_MATCH bytes or more, and by how many."""
    context = context[-MAX_CONTEXT:]
    nothing = np.zeros(0, np.int64)
    if len(context) < MIN_MATCH or context[-MIN_MATCH:] not in text:
        return nothing, nothing
    data = np.frombuffer(text, np.uint8)
    backwards = np.frombuffer(context, np.uint8)[::-1]
    n_ends = len(data) - MIN_MATCH + 1
    agrees = np.ones(n_ends, np.bool_)
    for back in range(MIN_MATCH):
        start = MIN_MATCH - 1 - back
        agrees &= data[start : start + n_ends] == backwards[back]
    places = np.flatnonzero(agrees) + MIN_MATCH
    return places, _lengths(data, places, backwards)


def _lengths(data: NDArray[np.uint8], places: Positions, backwards: NDArray[np.uint8]) -> Positions:
    """Return by how many bytes each place agrees; MIN_MATCH are known to."""
    lengths = np.full(len(places), MIN_MATCH, np.int64)
    growing = np.arange(len(places))
    done, step = MIN_MATCH, 4 if len(places) < _MANY else 1
    while len(growing) and done < len(backwards):
        step = min(4 * step, len(backwards) - done)  # few places get far
        at = places[growing, None] - (done + 1 + np.arange(step))
        same = (data.take(at, mode="clip") == backwards[done : done + step]) & (at >= 0)
        run = np.where(same.all(axis=1), step, same.argmin(axis=1))
        lengths[growing] += run
        growing = growing[run == step]
        done += step
    return lengths
