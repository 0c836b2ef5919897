"""One immutable piece of the index: many files' text, and the order of all its suffixes.

The text is stored backwards, each file ended by a byte that UTF-8 never holds. So the places that
agree with the text before a cursor are neighbours in suffix order: one binary search finds those
that agree by a given length, and the shorter the length, the wider the same neighbourhood. A
segment is written once, checked when it is opened, and mapped; it is never changed in place. Files
that were changed, deleted or opened since are still in the order: how often they agree themselves
is taken off.
"""

import bisect
import contextlib
import ctypes
import itertools
import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydivsufsort import divsufsort
from pydivsufsort.dll import libdivsufsort

from assistant.index.matches import (
    FOLLOWING_BYTES,
    MAX_CONTEXT,
    Lengths,
    Occurrence,
    Positions,
    find_agreeing,
    spread,
)
from model.files import UnreadableFileError, open_regular, parse_json
from model.paths import find_exposure

END = b"\xff"  # after each file; no UTF-8 text holds it
MAX_TEXT_BYTES = 1 << 30  # the suffix order holds 32-bit numbers
_MAGIC = b"ftseg\x01\r\n"
# magic, bytes of text, bytes of the table of files, checksum of all that follows
_HEADER = struct.Struct("<8sQQI4x")
_ALIGNMENT = 16


class SegmentError(ValueError):
    """A segment's file is damaged or not one of ours; the message names it."""


class SegmentEntry(NamedTuple):
    """One file as it was when it was read."""

    path: str  # relative, forward slashes
    size: int  # of the file in bytes
    mtime_ns: int
    digest: str  # of the file's bytes


class FileContent(NamedTuple):
    """An entry and the text to be found: UTF-8, LF, no secrets."""

    entry: SegmentEntry
    text: bytes


# A view of ours of the library's function: the one that comes with it copies arrays around.
_search: Any = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_char_p,
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.POINTER(ctypes.c_int32),
)(("sa_search", libdivsufsort))


def encode_text(text: str) -> bytes:
    """Return a text as it is searched: UTF-8 with LF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    data = text.encode("utf-8", "replace")
    assert END not in data
    return data


def write_segment(path: Path, contents: Iterable[FileContent]) -> int:
    """Write a segment; return its size in bytes. OSError if the disk does not take it."""
    pieces: list[bytes] = []
    table: list[tuple[str, int, int, str, int]] = []
    for content in contents:
        if END in content.text:
            raise ValueError(f"{content.entry.path} is not UTF-8")
        pieces.append(content.text[::-1])
        entry = content.entry
        table.append((entry.path, entry.size, entry.mtime_ns, entry.digest, len(content.text)))
    text = END.join([*pieces, b""])
    del pieces
    if len(text) > MAX_TEXT_BYTES:
        raise ValueError(f"a segment of {len(text)} bytes; at most {MAX_TEXT_BYTES} are possible")
    order: NDArray[np.int32] = divsufsort(text) if text else np.zeros(0, np.int32)
    names = json.dumps(table, separators=(",", ":")).encode()
    padding = bytes(-(len(text) + _HEADER.size) % _ALIGNMENT)
    parts: list[bytes | memoryview] = [text, padding, order.view(np.uint8).data, names]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    _write(path, [_HEADER.pack(_MAGIC, len(text), len(names), checksum), *parts])
    return path.stat().st_size


def _write(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a new file, on disk when this returns; nobody reads it before a manifest names it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


class Segment:
    """A segment's file, mapped; safe for many threads. The file may be deleted meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open and check a segment; SegmentError says what is wrong with it."""
        self.name = path.name
        self._map, self.written_s = _map_file(path)
        self.n_bytes = len(self._map)
        _, n_text, n_table, checksum = _HEADER.unpack_from(self._map)
        order_at = _HEADER.size + n_text + -(n_text + _HEADER.size) % _ALIGNMENT
        table_at = order_at + 4 * n_text
        if self._map[: len(_MAGIC)] != _MAGIC or table_at + n_table != self.n_bytes:
            raise SegmentError(f"{path} is not a segment of this version, or was cut")
        with memoryview(self._map) as view, view[_HEADER.size :] as body:
            if zlib.crc32(body) != checksum:
                raise SegmentError(f"{path} is damaged: its checksum is wrong")
        self.text: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8, n_text, _HEADER.size)
        self.order: NDArray[np.int32] = np.frombuffer(self._map, np.int32, n_text, order_at)
        # A checksum is no proof: whoever can write one can write another order.
        if n_text and not 0 <= int(self.order.min()) <= int(self.order.max()) < n_text:
            raise SegmentError(f"{path} has an order that leads out of the text")
        try:
            self.entries, self.starts = _parse_table(self._map[table_at:], n_text)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise SegmentError(f"{path} has a table of files that is damaged") from error
        self._text_at = _HEADER.size
        self._addresses = (self.text.ctypes.data, self.order.ctypes.data)

    def is_whole(self) -> bool:
        """Say whether the file has its length still: reading beyond its end is fatal."""
        return self._map.size() == self.n_bytes

    def interval(self, backwards: bytes, length: int, within: tuple[int, int]) -> tuple[int, int]:
        """Return where in the order the places are that agree by `length` bytes.

        `backwards` is the context from its last byte to its first; `within` an interval known to
        hold them all.
        """
        low, high = within
        text, order = self._addresses
        left = ctypes.c_int32()
        count: int = _search(
            text, len(self.text), backwards, length, order + 4 * low, high - low, left
        )
        if count <= 0:
            return low, low
        return low + left.value, low + left.value + count

    def position(self, backwards: bytes) -> int:
        """Return where in the order the context would stand; the nearer to it, the more agrees."""
        text, order = self._addresses
        left = ctypes.c_int32()
        _search(text, len(self.text), backwards, len(backwards), order, len(self.order), left)
        return left.value

    def agreement(self, place: int, backwards: bytes) -> int:
        """Return by how many bytes a place agrees."""
        at = self._text_at + place
        there = self._map[at : min(at + len(backwards), self._text_at + len(self.text))]
        here = backwards[: len(there)]
        differing = int.from_bytes(there, "big") ^ int.from_bytes(here, "big")
        return len(there) - (differing.bit_length() + 7) // 8

    def file_of(self, places: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the number of the file that each place is in."""
        return self.starts.searchsorted(places, side="right") - 1

    def following(
        self, places: NDArray[np.int64], files: NDArray[np.int64], n_bytes: int
    ) -> list[bytes]:
        """Return what follows each place in its file."""
        ends = (places + self._text_at).tolist()
        starts = (np.maximum(self.starts[files], places - n_bytes) + self._text_at).tolist()
        mapped = self._map
        return [mapped[start:end][::-1] for start, end in zip(starts, ends, strict=True)]

    def text_of(self, file: int) -> bytes:
        """Return a file's text; SegmentError if somebody has cut the segment."""
        if not self.is_whole():
            raise SegmentError(f"{self.name} was cut while it was in use")
        start, end = int(self.starts[file]), int(self.starts[file + 1]) - len(END)
        return self._map[self._text_at + start : self._text_at + end][::-1]

    def size_of(self, files: Sequence[int]) -> int:
        """Return how many bytes of text these files have together."""
        return sum(int(self.starts[file + 1] - self.starts[file]) for file in files)


def _parse_table(data: bytes, n_text: int) -> tuple[list[SegmentEntry], NDArray[np.int64]]:
    """Return the files, and where each begins in the text, with the end of all."""
    table = parse_json(data)
    entries = [SegmentEntry(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in table]
    sizes = [0, *(int(row[4]) + len(END) for row in table)]
    if min(sizes) < 0 or sum(sizes) != n_text:
        raise ValueError("the files are not the text")
    return entries, np.cumsum(np.array(sizes, np.int64))


def _map_file(path: Path) -> tuple[mmap.mmap, float]:
    """Return a file's bytes, and when it was written."""
    if exposure := find_exposure(path):
        raise SegmentError(exposure)
    try:
        handle = open_regular(path, 16 * MAX_TEXT_BYTES)
    except UnreadableFileError as error:
        raise SegmentError(str(error)) from error
    try:
        info = os.fstat(handle)
        if info.st_size < _HEADER.size:
            raise SegmentError(f"{path} is too short for a segment")
        return mmap.mmap(handle, 0, access=mmap.ACCESS_READ), info.st_mtime
    finally:
        os.close(handle)


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
        self._occurrences: dict[int, Occurrence] = {}  # levels are nested: most are asked for again

    @cached_property
    def longest(self) -> int:
        """The longest agreement in bytes."""
        order = self._segment.order
        at = self._segment.position(self._backwards)
        best = 0
        for near in (order[max(0, at - _NEAR) : at][::-1], order[at : at + _NEAR]):
            alive = near[self._is_alive(near)]
            if len(alive):
                best = max(best, self._segment.agreement(int(alive[0]), self._backwards))
            elif len(near):
                break  # all are dead
        else:
            return best
        shorter = range(len(self._backwards))
        return bisect.bisect_left(shorter, True, key=lambda length: not self.count(length + 1))

    def count(self, length: int) -> int:
        """Return how many living places agree by at least `length` bytes."""
        low, high = self._interval(length)
        if not len(self._dead):
            return high - low
        if high - low <= _FEW:
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
            wider = self._intervals[max(known for known in self._intervals if known < length)]
            found = self._segment.interval(self._backwards, length, wider)
            self._intervals[length] = found
        return found

    def _draw(self, low: int, high: int, n: int) -> NDArray[np.int32]:
        order = self._segment.order
        if not len(self._dead):
            return order[low + spread(high - low, n)]
        drawn = order[low + spread(high - low, _SPARE * n)]
        alive = drawn[self._is_alive(drawn)]
        if len(alive) < n:
            drawn = order[low:high]  # nearly all are dead: look at each
            alive = drawn[self._is_alive(drawn)]
        return alive[spread(len(alive), n)]

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
        reach = self.longest
        at = places[:, None] + np.arange(reach)
        wanted = np.frombuffer(self._backwards, np.uint8, reach)
        same = self._segment.text.take(at, mode="clip") == wanted
        agrees: Positions = np.where(same.all(axis=1), reach, same.argmin(axis=1))
        return agrees
