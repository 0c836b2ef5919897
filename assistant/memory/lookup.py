"""The places of one segment that agree with a context, less those of files that are gone.

The order of suffixes counts all places at once. Files that were changed, deleted or opened since
are still in it: few places are looked at one by one, and of many the dead files' own are taken off.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assistant.memory.matches import (
    FOLLOWING_BYTES,
    MAX_CONTEXT,
    MIN_MATCH,
    Occurrence,
    Positions,
    agreeing,
    spread,
)
from assistant.memory.segment import END, Segment

_FEW = 4096  # places that are looked at one by one
_SPARE = 8  # times as many places are drawn as wanted, since some may be dead


class SegmentSource:
    """A segment seen from one context; used by one thread."""

    def __init__(
        self, segment: Segment, context: bytes, *, layer: str, dead: Sequence[int] = ()
    ) -> None:
        """`dead` numbers the files of the segment that are left out."""
        self._segment = segment
        self._layer = layer
        self._context = context[-MAX_CONTEXT:].rpartition(END)[2]
        self._backwards = self._context[::-1]
        self._dead = np.array(sorted(dead), np.int64)
        self._intervals: dict[int, tuple[int, int]] = {0: (0, len(segment.order))}

    @cached_property
    def longest(self) -> int:
        """The longest agreement in bytes."""
        low, high = 0, len(self._backwards)
        while low < high:
            middle = (low + high + 1) // 2 if low else min(high, MIN_MATCH)
            if self.count(middle):
                low = middle
            else:
                high = middle - 1
        return low

    def count(self, length: int) -> int:
        """Return how many living places agree by at least `length` bytes."""
        low, high = self._interval(length)
        if not len(self._dead) or low == high:
            return high - low
        if high - low <= _FEW:
            return len(self._alive(self._segment.order[low:high]))
        n_dead = len(self._dead_lengths) - int(self._dead_lengths.searchsorted(length))
        return high - low - n_dead

    def pick(self, length: int, n: int) -> list[Occurrence]:
        """Return `n` of those places, evenly spread in the order of what stands before them."""
        low, high = self._interval(length)
        places = self._drawn(low, high, n)
        files = self._segment.file_of(places)
        lengths = self._agreements(places)
        return [
            Occurrence(
                int(agrees),
                self._segment.following(int(place), int(file), FOLLOWING_BYTES),
                self._segment.entries[file].path,
                self._layer,
            )
            for agrees, place, file in zip(lengths, places, files, strict=True)
        ]

    def _interval(self, length: int) -> tuple[int, int]:
        found = self._intervals.get(length)
        if found is None:
            wider = max(known for known in self._intervals if known < length)
            within = self._intervals[wider]
            found = self._segment.interval(self._backwards, length, within)
            self._intervals[length] = found
        return found

    def _drawn(self, low: int, high: int, n: int) -> NDArray[np.int32]:
        order = self._segment.order
        if not len(self._dead):
            return (
                order[spread(np.arange(low, high), n)]
                if high - low <= _FEW
                else (order[low + np.arange(n) * (high - low) // n])
            )
        if high - low > _FEW:
            n_drawn = _SPARE * n
            alive = self._alive(order[low + np.arange(n_drawn) * (high - low) // n_drawn])
            if len(alive) >= n:
                return alive[spread(np.arange(len(alive)), n)]
        alive = self._alive(order[low:high])
        return alive[spread(np.arange(len(alive)), n)]

    def _alive(self, places: NDArray[np.int32]) -> NDArray[np.int32]:
        files = self._segment.file_of(places)
        at = self._dead.searchsorted(files)
        alive: NDArray[np.int32] = places[self._dead.take(at, mode="clip") != files]
        return alive

    @cached_property
    def _dead_lengths(self) -> Positions:
        """By how much each place of the dead files agrees, in order."""
        text = END.join(self._segment.text_of(int(file)) for file in self._dead)
        return np.sort(agreeing(text, self._context)[1])

    def _agreements(self, places: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return by how many bytes each place agrees."""
        reach = min(self.longest, len(self._backwards))
        at = places[:, None].astype(np.int64) + np.arange(reach)
        wanted = np.frombuffer(self._backwards, np.uint8, reach)
        same = self._segment.text.take(at, mode="clip") == wanted
        agrees: NDArray[np.int64] = np.where(same.all(axis=1), reach, same.argmin(axis=1))
        return agrees
