"""Code from other files of a repository for the prompt: what a cursor's names mean, what is alike.

First the definitions of names that occur near the cursor, then stretches of lines that share rare
identifiers with the text there. Both come from files other than the cursor's, and from none of its
name that is nearly a copy of it. A choice is a function of the files and the cursor's text alone;
training and serving make it with the same code. Knows no token and no model.
"""

from __future__ import annotations

import functools
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from assistant.memory.symbols import Definition, definitions, described
from model.fim import Snippet

MIN_LINES, MAX_LINES = 8, 16  # of a stretch
MIN_CHARS = 24  # of a snippet
MAX_FILE_BYTES = 400_000  # of larger files only the head is read
DEFINITIONS_FRAC = 0.3  # of the budget at most: code that is alike holds more of the names wanted
MAX_DEFINITIONS = 5  # snippets that are definitions
MAX_ALIKE = 3  # snippets that are stretches
_NEAR_BEFORE, _NEAR_AFTER = 1_200, 300  # characters around the cursor that are compared
_IMPORT_CHARS = 3_000  # of the file's head, where its imports are
_COMMON_FRAC = 0.15  # of the stretches: an identifier in more of them says nothing
_AMBIGUOUS = 5  # definitions of one name, and it could be any
_COPY_FRAC = 0.6  # of the lines of the shorter file: it is a copy
_COPY_LINES = 5  # below that, any two files are alike
_MIN_SCORE = 0.6  # rare identifiers in common, in units of the rarest

_MAX_LINE = 160
_LINES_ABOVE = 2  # the line that is most alike
_LEAST_LINES = 3  # fewer say too little
_WIDE_CHARS = 6_000  # on each side of the cursor: its own names, and whether a file is a copy

_ATTRIBUTE = re.compile(rb"\.([A-Za-z_][A-Za-z0-9_]{2,})")
_CALLED = re.compile(rb"(?<![.\w])([A-Za-z_][A-Za-z0-9_]{2,})[ \t]*\(")
_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{2,}")
_IMPORT = re.compile(rb"^[ \t]*(?:import|from|use|using|#[ \t]*include|require)\b.*", re.MULTILINE)
_KEYWORDS = frozenset(
    b"and args assert async await bool break case catch class const continue def default del elif"
    b" else enum except export extends False final finally float fn for from func function global"
    b" impl import in int interface is kwargs lambda let list match mod mut namespace new None not"
    b" null object or pass private protected pub public raise return self static str struct super"
    b" switch this throw trait True try type use using var void while with yield dict set tuple"
    b" len print range isinstance".split()
)
# Methods of everyday types: their use says nothing about a class of the repository.
_BUILT_IN = frozenset(
    b"add append clear close copy count decode encode endswith extend filter find format get group"
    b" index insert items join keys length lower map open pop push read readlines remove replace"
    b" reverse search setdefault slice sort split startswith strip sub update upper values"
    b" write".split()
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Lines of a file that may be shown."""

    file: int
    start: int
    end: int
    shown: bytes

    def meets(self, other: _Place) -> bool:
        return self.file == other.file and self.start < other.end and other.start < self.end


class SnippetSource:
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
            data = _bytes(text) if isinstance(text, str) else text
            self._add(path, data[:MAX_FILE_BYTES], keys, places)
        self._definitions.default_factory = None
        n_places = max(1, len(self._starts))
        self._index = _Index(keys, places, n_places)
        self._numbers = {path: number for number, path in enumerate(self._paths)}
        self._lines_of = functools.lru_cache(maxsize=512)(self._read_lines)

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
        cursor = _Cursor(path, before, after)
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
        return [self._snippet(place) for place in reversed(chosen)]

    def _add(self, path: str, text: bytes, keys: array[int], places: array[int]) -> None:
        number = len(self._paths)
        self._paths.append(path)
        self._texts.append(text)
        starts = set()
        for definition in definitions(path, text):
            starts.add(definition.start)
            if len(definition.name) > 2 and not definition.name.startswith(b"__"):
                found = self._definitions[definition.name]
                if len(found) <= _AMBIGUOUS:  # one more than can be used says that it is ambiguous
                    found.append((number, definition))
        for start, end in _stretches(text, starts):
            hashes = set(map(crc32, set(_IDENTIFIER.findall(text, start, end))))
            keys.extend(hashes)
            places.extend([len(self._starts)] * len(hashes))
            self._place_files.append(number)
            self._starts.append(start)
            self._ends.append(end)

    def _defining(self, cursor: _Cursor) -> Iterator[_Place]:
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
                shown, end = described(self._texts[file], definition)
                yield _Place(file, definition.start, end, shown)

    def _alike(self, number: int, cursor: _Cursor, room: int) -> _Place | None:
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

    def _is_other(self, file: int, cursor: _Cursor) -> bool:
        """Say whether a file is neither the cursor's own nor, under its name, nearly a copy."""
        path = self._paths[file]
        if path == cursor.path:
            return False
        if path.rpartition("/")[2] != cursor.path.rpartition("/")[2]:
            return True
        own, lines = cursor.lines, self._lines_of(file)
        n_lines = min(len(own), len(lines))
        return n_lines < _COPY_LINES or len(own & lines) < _COPY_FRAC * n_lines

    def _read_lines(self, file: int) -> frozenset[bytes]:
        return _line_set(self._texts[file])

    def _fits(self, place: _Place, chosen: list[_Place]) -> bool:
        return len(place.shown) >= MIN_CHARS and not any(place.meets(other) for other in chosen)

    def _cost(self, place: _Place) -> int:
        return len(self._paths[place.file]) + len(place.shown) + 2

    def _snippet(self, place: _Place) -> Snippet:
        return Snippet(self._paths[place.file], place.shown.decode("utf-8", "ignore"))


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


class _Cursor:
    """What the text around a cursor says about what to look for."""

    def __init__(self, path: str, before: str, after: str) -> None:
        self.path = path
        imported = b"\n".join(_IMPORT.findall(_bytes(before[:_IMPORT_CHARS])))
        self._imported = frozenset(_IDENTIFIER.findall(imported))
        self._before = _bytes(before[-_WIDE_CHARS:])
        self._after = _bytes(after[:_WIDE_CHARS])
        near = self._before[-_NEAR_BEFORE:], self._after[:_NEAR_AFTER]
        self._attributes = frozenset(_ATTRIBUTE.findall(b"\n".join(near)))
        self._called = frozenset(_CALLED.findall(b"\n".join(near)))
        self.near = _weights(*near)  # identifiers, weighted by how near they are

    @functools.cached_property
    def names(self) -> dict[bytes, float]:
        """Names whose definition may help, weighted."""
        weights = dict.fromkeys(sorted(self._imported - _KEYWORDS), 0.3)
        for name, weight in self.near.items():
            weights[name] = weight * (2 if name in self._imported else 1)
        return weights

    @functools.cached_property
    def own_names(self) -> frozenset[bytes]:
        """Names that the file itself defines, not too far away."""
        return frozenset(
            definition.name
            for text in (self._before, self._after)
            for definition in definitions(self.path, text)
        )

    @functools.cached_property
    def lines(self) -> frozenset[bytes]:
        """The file's lines that are not too far away."""
        return _line_set(self._before) | _line_set(self._after)

    def can_mean(self, definition: Definition) -> bool:
        """Say whether the name is used as such a definition is: most words are also a name."""
        name = definition.name
        if definition.kind == "member":
            return name in self._attributes and name not in _BUILT_IN
        if name in self._imported:
            return True
        if definition.kind == "variable":
            return name.isupper()
        return name in self._called or (definition.kind == "type" and name[:1].isupper())

    def imports_stem(self, path: str) -> bool:
        """Say whether an import names the file."""
        return _bytes(path.rpartition("/")[2].partition(".")[0]) in self._imported

    def likeness(self, line: bytes) -> float:
        """Return how much a line has in common with the text near the cursor."""
        return sum(self.near.get(name, 0.0) for name in set(_IDENTIFIER.findall(line)))


def _weights(before: bytes, after: bytes) -> dict[bytes, float]:
    weights: dict[bytes, float] = {}
    for number, line in enumerate(after.split(b"\n")):
        for name in _IDENTIFIER.findall(line):
            weights[name] = max(weights.get(name, 0), 0.6 / (1 + number / 4))
    for number, line in enumerate(reversed(before.split(b"\n"))):
        for name in _IDENTIFIER.findall(line):
            weights[name] = max(weights.get(name, 0), 1 / (1 + number / 12))
    return {name: weight for name, weight in weights.items() if name not in _KEYWORDS}


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


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _line_set(text: bytes) -> frozenset[bytes]:
    """Return the lines that tell files apart."""
    lines = (line.strip() for line in text.split(b"\n"))
    return frozenset(line for line in lines if len(line) > 8)
