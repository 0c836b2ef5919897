"""What an index answers: places that agree with the text before a cursor, in nested levels.

A place agrees by `length` bytes if so many bytes just before it equal the bytes before the cursor.
Level by level the length shrinks and the count of places grows, at least twofold. The same for one
document's own text is here too, without any index.
"""

import bisect
from collections.abc import Callable, Sequence
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
Lengths = NDArray[np.uint16]
_FEW = 2_000  # places that are looked at many bytes at a time
_MAX_LOOKS = 1 << 20  # bytes compared one by one; some tens of milliseconds
ShouldStop = Callable[[], bool]  # whether nobody wants the answer any more


def never() -> bool:
    """Say that the answer is wanted whatever happens."""
    return False


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
    count: int  # exact, but too low in a text that repeats itself all over
    occurrences: tuple[Occurrence, ...]  # all, or MAX_SAMPLED evenly spread; longest match first


class Source(Protocol):
    """Some text, seen from one context."""

    @property
    def longest(self) -> int:
        """The longest agreement in bytes."""

    def count(self, length: int) -> int:
        """Return how many places agree by at least `length` bytes."""

    def pick(self, length: int, n: int) -> list[Occurrence]:
        """Return `n` of those places, evenly spread."""


def nested_levels(
    sources: Sequence[Source], max_levels: int = MAX_LEVELS, should_stop: ShouldStop = never
) -> list[Level]:
    """Return the levels over several sources together."""
    length = max((source.longest for source in sources), default=0)
    if length < MIN_MATCH or max_levels < 1:
        return []
    levels = [_level(sources, length)]
    while len(levels) < max_levels and not should_stop():
        wanted = 2 * levels[-1].count

        def is_too_long(length: int, wanted: int = wanted) -> bool:
            return sum(source.count(length) for source in sources) < wanted

        lengths = range(MIN_MATCH, levels[-1].length)
        n_enough = bisect.bisect_left(lengths, True, key=is_too_long)
        if not n_enough:
            break
        levels.append(_level(sources, lengths[n_enough - 1]))
    return levels


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
    found.sort(key=lambda each: -each.length)  # stable: nearer sources stay first
    return Level(length, total, tuple(found))


def document_levels(
    before: bytes,
    after: bytes,
    *,
    path: str,
    max_levels: int = MAX_LEVELS,
    should_stop: ShouldStop = never,
) -> list[Level]:
    """Return the levels of the current document's own text, layer "file".

    `after` begins behind the cursor's line: what the user is replacing is no evidence. Nothing
    matches or continues across the cursor.
    """
    context = before[-MAX_CONTEXT:]
    earlier = TextSource(before, context, path=path, layer="file", has_cursor_at_end=True)
    later = TextSource(after, context, path=path, layer="file")
    return nested_levels([earlier, later], max_levels, should_stop)


class TextSource:
    """The agreeing places of one text in RAM, found by looking at all of it."""

    def __init__(
        self, text: bytes, context: bytes, *, path: str, layer: str, has_cursor_at_end: bool = False
    ) -> None:
        self._text = text
        self._path = path
        self._layer = layer
        places, lengths = find_agreeing(text, context)
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
        agreeing = np.flatnonzero(self._lengths >= length)
        chosen = agreeing[spread(len(agreeing), n)]
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


def spread(n_items: int, n: int) -> Positions:
    """Return the places of `n` of the items, evenly spread, or of all if there are fewer."""
    n = min(n, n_items)
    return np.arange(n) * n_items // n


def find_agreeing(text: bytes, context: bytes) -> tuple[Positions, Lengths]:
    """Return the places in `text` that agree by MIN_MATCH bytes or more, and by how many.

    In a text that repeats itself all over, most places get a length that is too short: they were
    not looked at any further.
    """
    context = context[-MAX_CONTEXT:]
    if len(context) < MIN_MATCH or context[-MIN_MATCH:] not in text:
        return np.array([], np.int64), np.array([], np.uint16)
    data = np.frombuffer(text, np.uint8)
    backwards = np.frombuffer(context, np.uint8)[::-1]
    n_ends = len(data) - MIN_MATCH + 1
    agrees = np.ones(n_ends, np.bool_)
    for back in range(MIN_MATCH):
        start = MIN_MATCH - 1 - back
        agrees &= data[start : start + n_ends] == backwards[back]
    places = np.flatnonzero(agrees) + MIN_MATCH
    return places, _lengths(data, places, backwards)


def _lengths(data: NDArray[np.uint8], places: Positions, backwards: NDArray[np.uint8]) -> Lengths:
    """Return by how many bytes each place agrees; MIN_MATCH are known to.

    Many places are looked at byte by byte, until few are left or _MAX_LOOKS are spent; then few,
    evenly spread, many bytes at a time.
    """
    lengths = np.full(len(places), MIN_MATCH, np.uint16)
    growing = np.arange(len(places))
    done, n_looks = MIN_MATCH, 0
    while len(growing) and done < len(backwards):
        if n_looks >= _MAX_LOOKS:
            growing = growing[spread(len(growing), _FEW)]
        # Few places get far: what is known to agree grows fourfold each time.
        n_bytes = min(3 * done, len(backwards) - done) if len(growing) <= _FEW else 1
        n_looks += len(growing) * n_bytes
        at = places[growing, None] - (done + 1 + np.arange(n_bytes))
        same = (data.take(at, mode="clip") == backwards[done : done + n_bytes]) & (at >= 0)
        run = np.where(same.all(axis=1), n_bytes, same.argmin(axis=1))
        lengths[growing] = done + run
        growing = growing[run == n_bytes]
        done += n_bytes
    return lengths
