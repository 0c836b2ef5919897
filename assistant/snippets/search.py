"""Code from other files of a repository for the prompt: what a cursor's names mean, what is alike.

First the definitions of names that occur near the cursor, then stretches of lines that share rare
identifiers with the text there. Both come from files other than the cursor's, and from none of its
name that is nearly a copy of it. A choice is a function of the files and the cursor's text alone;
training and serving make it with the same code.
"""

from __future__ import annotations

import functools
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from assistant.snippets.symbols import (
    IDENTIFIER,
    CursorContext,
    Definition,
    describe_definition,
    find_definitions,
    find_telling_lines,
    utf8,
)
from model.fim import Snippet

MIN_LINES, MAX_LINES = 8, 16  # of a stretch
MIN_CHARS = 24  # of a snippet
MAX_FILE_BYTES = 400_000  # of larger files only the head is read
DEFINITIONS_FRAC = 0.3  # of the budget at most: code that is alike holds more of the names wanted
MAX_DEFINITIONS = 5  # snippets that are definitions
MAX_ALIKE = 3  # snippets that are stretches
_COMMON_FRAC = 0.15  # of the stretches: an identifier in more of them says nothing
_AMBIGUOUS = 5  # definitions of one name, and it could be any
_COPY_FRAC = 0.6  # of the lines of the shorter file: it is a copy
_COPY_LINES = 5  # below that, any two files are alike
_MIN_SCORE = 0.6  # rare identifiers in common, in units of the rarest

_MAX_LINE = 160
_LINES_ABOVE = 2  # the line that is most alike
_LEAST_LINES = 3  # fewer say too little


class _Place(NamedTuple):
    """Lines of a file that may be shown."""

    file: int
    start: int
    end: int
    shown: bytes

    def meets(self, other: _Place) -> bool:
        return self.file == other.file and self.start < other.end and other.start < self.end


class SnippetSearch:
    """Finds snippets among files that were read once; may be asked from several threads."""

    def __init__(self, files: Iterable[tuple[str, str | bytes]]) -> None:
        """Read (path, text); bytes are UTF-8."""
        self._paths: list[str] = []
        self._texts: list[bytes] = []
        self._definitions: dict[bytes, list[tuple[int, Definition]]] = defaultdict(list)
        self._place_files = array("i")
        self._starts = array("i")
        self._ends = array("i")
        keys, places = array("I"), array("i")
        for path, text in files:
            data = utf8(text) if isinstance(text, str) else text
            self._add(path, data[:MAX_FILE_BYTES], keys, places)
        self._definitions.default_factory = None
        n_places = max(1, len(self._starts))
        self._index = _Index(keys, places, n_places)
        self._numbers = {path: number for number, path in enumerate(self._paths)}
        self._lines_of = functools.lru_cache(maxsize=512)(
            lambda file: find_telling_lines(self._texts[file])
        )

    @property
    def n_files(self) -> int:
        """How many files were read."""
        return len(self._paths)

    def own_path(self, path: str) -> str:
        """Return the name under which a file was read of which `path` may say more, or `path`."""
        parts = path.replace("\\", "/").split("/")
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((end for end in ends if end in self._numbers), path)

    def snippets(self, *, path: str, before: str, after: str, budget_chars: int) -> list[Snippet]:
        """Return what to show for a cursor between `before` and `after`, the best one last.

        The best stands nearest to the file itself, where a small network copies best.
        """
        cursor = CursorContext(path, before, after)
        chosen: list[_Place] = []
        room = budget_chars
        for place in self._defining(cursor):
            cost = self._cost(place)
            if cost <= room - (1 - DEFINITIONS_FRAC) * budget_chars and self._fits(place, chosen):
                chosen.append(place)
                room -= cost
            if (
                len(chosen) >= MAX_DEFINITIONS
                or room < (1 - DEFINITIONS_FRAC) * budget_chars + MIN_CHARS
            ):
                break
        n_most = len(chosen) + MAX_ALIKE
        for number in self._index.ranked(cursor.near):
            alike = self._alike(number, cursor, room)
            if alike is not None and self._fits(alike, chosen):
                chosen.append(alike)
                room -= self._cost(alike)
                if len(chosen) >= n_most:
                    break
        return [
            Snippet(self._paths[place.file], place.shown.decode("utf-8", "ignore"))
            for place in reversed(chosen)
        ]

    def _add(self, path: str, text: bytes, keys: array[int], places: array[int]) -> None:
        number = len(self._paths)
        self._paths.append(path)
        self._texts.append(text)
        starts = set()
        for definition in find_definitions(path, text):
            starts.add(definition.start)
            if len(definition.name) > 2 and not definition.name.startswith(b"__"):
                found = self._definitions[definition.name]
                if len(found) <= _AMBIGUOUS:  # one more than can be used says that it is ambiguous
                    found.append((number, definition))
        for start, end in _stretches(text, starts):
            hashes = set(map(crc32, set(IDENTIFIER.findall(text, start, end))))
            keys.extend(hashes)
            places.extend([len(self._starts)] * len(hashes))
            self._place_files.append(number)
            self._starts.append(start)
            self._ends.append(end)

    def _defining(self, cursor: CursorContext) -> Iterator[_Place]:
        """Yield the definitions of names near the cursor, the nearest and rarest first."""
        scored: list[tuple[float, int, Definition]] = []
        for name, weight in cursor.names.items():
            found = self._definitions.get(name, ())
            if not 0 < len(found) <= _AMBIGUOUS or name in cursor.own_names:
                continue
            for file, definition in found:
                if not cursor.can_mean(definition):
                    continue
                score = weight / len(found)
                if cursor.imports_stem(self._paths[file]):
                    score *= 2
                scored.append((score, file, definition))
        scored.sort(key=lambda each: (-each[0], self._paths[each[1]], each[2].start))
        for _, file, definition in scored[: 2 * MAX_DEFINITIONS]:
            if self._is_other(file, cursor):
                shown, end = describe_definition(self._texts[file], definition)
                yield _Place(file, definition.start, end, shown)

    def _alike(self, number: int, cursor: CursorContext, room: int) -> _Place | None:
        """Return the lines of a stretch that are most like the cursor's, as many as there is room.

        They begin just above the line that is most alike: what follows it is wanted.
        """
        file, start, end = self._place_files[number], self._starts[number], self._ends[number]
        room -= len(self._paths[file]) + 2
        if room < MIN_CHARS or not self._is_other(file, cursor):
            return None
        lines = [line.rstrip()[:_MAX_LINE] for line in self._texts[file][start:end].split(b"\n")]
        weights = [cursor.likeness(line) for line in lines]
        first = max(0, weights.index(max(weights)) - _LINES_ABOVE)
        shown: list[bytes] = []
        for line in lines[first:]:
            room -= len(line) + 1
            if room < 0:
                break
            if line or shown:
                shown.append(line)
        if len(shown) < min(_LEAST_LINES, len(lines)):
            return None
        return _Place(file, start, end, b"\n".join(shown).rstrip())

    def _is_other(self, file: int, cursor: CursorContext) -> bool:
        """Say whether a file is neither the cursor's own nor, under its name, nearly a copy."""
        path = self._paths[file]
        if path == cursor.path:
            return False
        if path.rpartition("/")[2] != cursor.path.rpartition("/")[2]:
            return True
        own, lines = cursor.lines, self._lines_of(file)
        n_lines = min(len(own), len(lines))
        return n_lines < _COPY_LINES or len(own & lines) < _COPY_FRAC * n_lines

    def _fits(self, place: _Place, chosen: list[_Place]) -> bool:
        return len(place.shown) >= MIN_CHARS and not any(place.meets(other) for other in chosen)

    def _cost(self, place: _Place) -> int:
        return len(self._paths[place.file]) + len(place.shown) + 2


class _Index:
    """Which stretches hold an identifier, by the identifier's hash."""

    def __init__(self, keys: array[int], places: array[int], n_places: int) -> None:
        hashes = np.array(keys, np.uint32)
        order = np.argsort(hashes, kind="stable")
        self._places: NDArray[np.int32] = np.array(places, np.int32)[order]
        self._keys, firsts = np.unique(hashes[order], return_index=True)
        self._bounds = np.append(firsts, len(order))
        self._sizes: NDArray[np.int64] = np.bincount(self._places, minlength=n_places)
        self._n_places = n_places

    def ranked(self, weights: dict[bytes, float]) -> list[int]:
        """Return the best stretches for weighted identifiers, the best first."""
        if not weights or not len(self._keys):
            return []
        hashes = np.fromiter(map(crc32, weights), np.uint32, len(weights))
        strengths = np.fromiter(weights.values(), np.float64, len(weights))
        at = np.minimum(np.searchsorted(self._keys, hashes), len(self._keys) - 1)
        firsts, counts = self._bounds[at], self._bounds[at + 1] - self._bounds[at]
        common = max(8.0, _COMMON_FRAC * self._n_places)
        usable = np.flatnonzero((self._keys[at] == hashes) & (counts <= common))
        if not len(usable):
            return []
        rarity = np.log(1 + self._n_places / counts[usable]) / np.log(1 + self._n_places)
        places = np.concatenate(
            [self._places[firsts[i] : firsts[i] + counts[i]] for i in usable.tolist()]
        )
        shares = np.repeat(strengths[usable] * rarity, counts[usable])
        scores = np.bincount(places, shares)
        likely = np.flatnonzero(scores >= _MIN_SCORE)
        # Long stretches hold more by chance.
        likely = likely[
            np.argsort(-scores[likely] / np.sqrt(12 + self._sizes[likely]), kind="stable")
        ]
        return [int(number) for number in likely[: 4 * MAX_ALIKE]]


def _stretches(text: bytes, definition_starts: set[int]) -> Iterator[tuple[int, int]]:
    """Yield runs of lines, cut before a definition or at a blank line where there is one."""
    start = offset = n_lines = 0
    for line in text.split(b"\n"):
        is_border = offset in definition_starts or not line
        if n_lines >= MAX_LINES or (n_lines >= MIN_LINES and is_border):
            yield start, offset
            start, n_lines = offset, 0
        offset += len(line) + 1
        n_lines += 1
    if start < len(text):
        yield start, len(text)
