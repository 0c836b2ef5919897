"""The places of one segment that agree with a context, less those of files that are gone.

The order of suffixes counts all places at once. Files that were changed, deleted or opened since
are still in it: how often they agree themselves is taken off.
"""

import bisect
import itertools
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assistant.index.matches import (
    FOLLOWING_BYTES,
    MAX_CONTEXT,
    Lengths,
    Occurrence,
    Positions,
    find_agreeing,
)
from assistant.index.segment import END, Segment

_FEW = 1024  # places that are sooner looked at one by one
_NEAR = 64  # neighbours on each side among which a living one is expected
_SPARE = 8  # times as many places are drawn as wanted, since some may be dead


class SegmentSource:
    """A segment seen from one context; used by one thread."""

    def __init__(
        self, segment: Segment, context: bytes, *, layer: str, dead: Sequence[int] = ()
    ) -> None:
        """`dead` has the numbers of the files that are left out, in order."""
        self._segment = segment
        self._layer = layer
        self._context = context[-MAX_CONTEXT:].rpartition(END)[2]
        self._backwards = self._context[::-1]
        self._dead = np.array(dead, np.int64)
        self._intervals = {0: (0, len(segment.order))}
        self._known_lengths = [0]  # of the intervals, in order
        self._occurrences: dict[int, Occurrence] = {}  # levels are nested: most are asked for again

    @cached_property
    def longest(self) -> int:
        """The longest agreement in bytes."""
        if not self._backwards:
            return 0
        order = self._segment.order
        at = self._segment.position(self._backwards)
        start, end = max(0, at - _NEAR), min(len(order), at + _NEAR)
        near = order[start:end]
        alive = np.flatnonzero(self._is_alive(near)) + start
        middle = int(alive.searchsorted(at))
        is_left_known = middle > 0 or start == 0
        is_right_known = middle < len(alive) or end == len(order)
        if is_left_known and is_right_known:
            best = alive[max(0, middle - 1) : middle + 1].tolist()
            return max(
                (self._segment.agreement(int(order[n]), self._backwards) for n in best), default=0
            )
        lengths = range(1, len(self._backwards) + 1)
        return bisect.bisect_left(lengths, True, key=lambda length: not self.count(length))

    def count(self, length: int) -> int:
        """Return how many living places agree by at least `length` bytes."""
        low, high = self._interval(length)
        if low == high or not len(self._dead):
            return high - low
        if high - low <= _FEW and "_dead_lengths" not in self.__dict__:
            return int(self._is_alive(self._segment.order[low:high]).sum())
        n_dead = len(self._dead_lengths) - int(self._dead_lengths.searchsorted(length))
        return high - low - n_dead

    def pick(self, length: int, n: int) -> list[Occurrence]:
        """Return `n` of those places, evenly spread in the order of what stands before them."""
        places = self._draw(*self._interval(length), n)
        new = [place for place in places.tolist() if place not in self._occurrences]
        if new:
            self._look_at(np.array(new, np.int64))
        return [self._occurrences[place] for place in places.tolist()]

    def _look_at(self, places: Positions) -> None:
        files = self._segment.file_of(places)
        entries = self._segment.entries
        found = zip(
            self._agreements(places).tolist(),
            self._segment.following(places, files, FOLLOWING_BYTES),
            [entries[file].path for file in files.tolist()],
            itertools.repeat(self._layer),
        )
        self._occurrences.update(
            zip(places.tolist(), itertools.starmap(Occurrence, found), strict=True)
        )

    def _interval(self, length: int) -> tuple[int, int]:
        found = self._intervals.get(length)
        if found is None:
            at = bisect.bisect(self._known_lengths, length)
            wider = self._intervals[self._known_lengths[at - 1]]
            found = self._segment.interval(self._backwards, length, wider)
            self._intervals[length] = found
            self._known_lengths.insert(at, length)
        return found

    def _draw(self, low: int, high: int, n: int) -> NDArray[np.int32]:
        order = self._segment.order
        if not len(self._dead):
            return order[_spread(low, high, n)]
        drawn = order[_spread(low, high, _SPARE * n)]
        alive = drawn[self._is_alive(drawn)]
        if len(alive) < n and high - low > _SPARE * n:
            drawn = order[low:high]  # nearly all are dead: look at each
            alive = drawn[self._is_alive(drawn)]
        return alive[_spread(0, len(alive), n)]

    def _is_alive(self, places: NDArray[np.int32]) -> NDArray[np.bool_]:
        if not len(self._dead):
            return np.ones(len(places), np.bool_)
        files = self._segment.file_of(places)
        at = self._dead.searchsorted(files)
        alive: NDArray[np.bool_] = self._dead.take(at, mode="clip") != files
        return alive

    @cached_property
    def _dead_lengths(self) -> Lengths:
        """By how much each place of the dead files agrees, in order."""
        text = END.join(self._segment.text_of(int(file)) for file in self._dead)
        return np.sort(find_agreeing(text, self._context)[1])

    def _agreements(self, places: Positions) -> Positions:
        """Return by how many bytes each place agrees."""
        reach = min(self.longest, len(self._backwards))
        at = places[:, None] + np.arange(reach)
        wanted = np.frombuffer(self._backwards, np.uint8, reach)
        same = self._segment.text.take(at, mode="clip") == wanted
        agrees: Positions = np.where(same.all(axis=1), reach, same.argmin(axis=1))
        return agrees


def _spread(low: int, high: int, n: int) -> Positions:
    """Return `n` numbers evenly spread from `low` up to `high`, or all if there are fewer."""
    count = high - low
    return low + (np.arange(count) if count <= n else np.arange(n) * count // n)
