"""Code from other files of a repository for the prompt: what a cursor's names mean, what is alike.

First the definitions of names that occur near the cursor, then stretches of lines that share rare
identifiers with the text there. Both come from files other than the cursor's, and from none that
is nearly a copy of it. A choice is a function of the files and the cursor's text alone; training
and serving make it with the same code. Knows no token and no model.
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
DEFINITIONS_FRAC = 0.6  # of the budget at most
MAX_DEFINITIONS = 5  # snippets that are definitions
MAX_ALIKE = 3  # snippets that are stretches
_NEAR_BEFORE, _NEAR_AFTER = 1_200, 300  # characters around the cursor that are compared
_IMPORT_CHARS = 3_000  # of the file's head, where its imports are
_COMMON_FRAC = 0.05  # of the stretches: an identifier in more of them says nothing
_AMBIGUOUS = 5  # definitions of one name, and it could be any
_COPY_FRAC = 0.6  # of the lines of the shorter file: it is a copy
_COPY_LINES = 5  # below that, any two files are alike
_MIN_SCORE = 2.5  # rare identifiers in common, in units of the rarest

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

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._paths: list[str] = []
        self._texts: list[bytes] = []
        self._definitions: dict[bytes, list[tuple[int, Definition]]] = defaultdict(list)
        self._place_files = array("i")
        self._starts = array("i")
        self._ends = array("i")
        keys, places = array("I"), array("i")
        for path, text in files:
            self._add(path, text.encode("utf-8", "replace")[:MAX_FILE_BYTES], keys, places)
        self._definitions.default_factory = None
        n_places = max(1, len(self._starts))
        self._index = _Index(keys, places, n_places)
        self._lines_of = functools.lru_cache(maxsize=512)(self._read_lines)

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
                if len(chosen) >= MAX_DEFINITIONS:
                    break
        n_most = len(chosen) + MAX_ALIKE
        for place in self._alike(cursor):
            if self._cost(place) <= room and self._fits(place, chosen):
                chosen.append(place)
                room -= self._cost(place)
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
        for name, weight in cursor.names().items():
            found = self._definitions.get(name, ())
            if not 0 < len(found) <= _AMBIGUOUS or name in cursor.own_names:
                continue
            for file, definition in found:
                score = weight / len(found)
                if cursor.imports_stem(self._paths[file]):
                    score *= 2
                scored.append((score, file, definition))
        scored.sort(key=lambda each: (-each[0], self._paths[each[1]], each[2].start))
        for _, file, definition in scored[: 4 * MAX_DEFINITIONS]:
            if self._is_other(file, cursor):
                shown, end = described(self._texts[file], definition)
                yield _Place(file, definition.start, end, shown)

    def _alike(self, cursor: _Cursor) -> Iterator[_Place]:
        """Yield stretches that share rare identifiers with the text near the cursor."""
        for number in self._index.ranked(cursor.near_identifiers()):
            file, start, end = self._place_files[number], self._starts[number], self._ends[number]
            if self._is_other(file, cursor):
                yield _Place(file, start, end, _trimmed(self._texts[file][start:end]))

    def _is_other(self, file: int, cursor: _Cursor) -> bool:
        """Say whether a file is neither the cursor's own nor nearly a copy of it."""
        if self._paths[file] == cursor.path:
            return False
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
        return Snippet(self._paths[place.file], place.shown.decode("utf-8", "replace"))


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
        common = max(8.0, _COMMON_FRAC * self._n_places)
        rarest = np.log(1 + self._n_places)
        scores = np.zeros(self._n_places, np.float32)
        for name, weight in weights.items():
            at = int(np.searchsorted(self._keys, crc32(name)))
            if at >= len(self._keys) or self._keys[at] != crc32(name):
                continue
            places = self._places[self._bounds[at] : self._bounds[at + 1]]
            if len(places) <= common:
                scores[places] += weight * np.log(1 + self._n_places / len(places)) / rarest
        likely = np.flatnonzero(scores >= _MIN_SCORE)
        scores[likely] /= np.sqrt(12 + self._sizes[likely])  # long stretches hold more by chance
        best = likely[np.argsort(-scores[likely], kind="stable")]
        return [int(number) for number in best[: 8 * MAX_ALIKE]]


class _Cursor:
    """What the text around a cursor says about what to look for."""

    def __init__(self, path: str, before: str, after: str) -> None:
        self.path = path
        self._before = before.encode("utf-8", "replace")
        self._after = after.encode("utf-8", "replace")
        self._near_before = self._before[-_NEAR_BEFORE:]
        self._near_after = self._after[:_NEAR_AFTER]
        imported = b"\n".join(_IMPORT.findall(self._before[:_IMPORT_CHARS]))
        self._imported = frozenset(_IDENTIFIER.findall(imported))

    @functools.cached_property
    def own_names(self) -> frozenset[bytes]:
        """Names that the file itself defines."""
        return frozenset(
            definition.name
            for text in (self._before, self._after)
            for definition in definitions(self.path, text)
        )

    @functools.cached_property
    def lines(self) -> frozenset[bytes]:
        """The file's lines."""
        return _line_set(self._before) | _line_set(self._after)

    def imports_stem(self, path: str) -> bool:
        """Say whether an import names the file."""
        stem = path.rpartition("/")[2].partition(".")[0].encode("utf-8", "replace")
        return stem in self._imported

    def names(self) -> dict[bytes, float]:
        """Return names whose definition may help, weighted by how near they are."""
        weights = dict.fromkeys(sorted(self._imported), 0.3)
        for name, weight in self._near().items():
            weights[name] = weight * (2 if name in self._imported else 1)
        return {name: weight for name, weight in weights.items() if name not in _KEYWORDS}

    def near_identifiers(self) -> dict[bytes, float]:
        """Return the identifiers near the cursor, weighted by how near they are."""
        return {name: weight for name, weight in self._near().items() if name not in _KEYWORDS}

    def _near(self) -> dict[bytes, float]:
        weights: dict[bytes, float] = {}
        for line_number, line in enumerate(self._near_after.split(b"\n")):
            for name in _IDENTIFIER.findall(line):
                weights[name] = max(weights.get(name, 0), 0.6 / (1 + line_number / 4))
        for line_number, line in enumerate(reversed(self._near_before.split(b"\n"))):
            for name in _IDENTIFIER.findall(line):
                weights[name] = max(weights.get(name, 0), 1 / (1 + line_number / 12))
        return weights


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


def _trimmed(text: bytes) -> bytes:
    """Return whole lines without blank ones at either end, and no endless line."""
    lines = [line[:200].rstrip() for line in text.split(b"\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return b"\n".join(lines)


def _line_set(text: bytes) -> frozenset[bytes]:
    """Return the lines that tell files apart."""
    lines = (line.strip() for line in text.split(b"\n"))
    return frozenset(line for line in lines if len(line) > 8)
