"""What the text around a cursor says about what to look for in other files.

Names with a weight for how near they are, names that the file imports or defines itself, and the
lines that would make another file a copy of it. Works on UTF-8 bytes. Knows no other file.
"""

from __future__ import annotations

import functools
import math
import re

from assistant.snippets.symbols import Definition, definitions

_NEAR_BEFORE, _NEAR_AFTER = 1_200, 300  # characters around the cursor that are compared
_IMPORT_CHARS = 3_000  # of the file's head, where its imports are
_WIDE_CHARS = 6_000  # on each side of the cursor: its own names, and whether a file is a copy
_ATTRIBUTE = re.compile(rb"\.([A-Za-z_][A-Za-z0-9_]{2,})")
_CALLED = re.compile(rb"(?<![.\w])([A-Za-z_][A-Za-z0-9_]{2,})[ \t]*\(")
IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{2,}")
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


class CursorContext:
    """What the text around a cursor says about what to look for."""

    def __init__(self, path: str, before: str, after: str) -> None:
        self.path = path
        imported = b"\n".join(_IMPORT.findall(utf8(before[:_IMPORT_CHARS])))
        self._imported = frozenset(IDENTIFIER.findall(imported))
        self._before = utf8(before[-_WIDE_CHARS:])
        self._after = utf8(after[:_WIDE_CHARS])
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
        return telling_lines(self._before) | telling_lines(self._after)

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
        return utf8(path.rpartition("/")[2].partition(".")[0]) in self._imported

    def likeness(self, line: bytes) -> float:
        """Return how much a line has in common with the text near the cursor."""
        # Rounded once: a sum in a set's order would differ from process to process.
        return math.fsum(self.near.get(name, 0.0) for name in set(IDENTIFIER.findall(line)))


def _weights(before: bytes, after: bytes) -> dict[bytes, float]:
    """Return identifiers and how near their nearest line is, 1 for the cursor's own."""
    weights: dict[bytes, float] = {}
    for number, line in enumerate(after.split(b"\n")):
        for name in IDENTIFIER.findall(line):
            weights[name] = max(weights.get(name, 0), 0.6 / (1 + number / 4))
    for number, line in enumerate(reversed(before.split(b"\n"))):
        for name in IDENTIFIER.findall(line):
            weights[name] = max(weights.get(name, 0), 1 / (1 + number / 12))
    return {name: weight for name, weight in weights.items() if name not in _KEYWORDS}


def utf8(text: str) -> bytes:
    """Return a text as UTF-8, whatever is in it."""
    return text.encode("utf-8", "replace")


def telling_lines(text: bytes) -> frozenset[bytes]:
    """Return the lines that tell files apart."""
    lines = (line.strip() for line in text.split(b"\n"))
    return frozenset(line for line in lines if len(line) > 8)
