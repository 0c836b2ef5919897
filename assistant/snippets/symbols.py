"""Names in source text: where they are defined, and which of them a cursor asks for.

Definitions are told by the look of their first line, by regular expressions over whole files, since
thousands of files are looked through at once; a definition in a string or a comment is found too,
and does no harm where it only suggests what to show. A cursor asks for names by how near they are,
leaves out those that its file defines itself, and knows the lines that would make another file a
copy of it. Works on UTF-8 bytes.
"""

import functools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINES = 10  # of what describes one definition
_BODY_LINES = 2  # of a function
_MAX_SCANNED = 4_000  # bytes of a body that are looked through for members
_MAX_LINE = 160  # longer lines describe nothing

_MODIFIERS = (
    rb"(?:(?:export|default|declare|public|private|protected|internal|static|abstract|final|async"
    rb"|unsafe|inline|virtual|override|pub(?:\([a-z]+\))?)[ \t]+)*"
)
_PYTHON = re.compile(
    rb"^(?:([ \t]*)(?:async[ \t]+)?(class|def)[ \t]+(\w+)"
    rb"|([A-Za-z_]\w{2,})[ \t]*(?::[^=\n(]{1,60})?=(?!=))",
    re.MULTILINE,
)
_OTHER = re.compile(
    rb"^([ \t]*)"
    + _MODIFIERS
    + rb"(?:(class|func|function\*?|fn|impl|trait|mod|struct|enum|union|interface|namespace|type"
    rb"|record|object|def)[ \t]+(?:\([^)\n]*\)[ \t]*)?([A-Za-z_$][\w$]*)"
    rb"|(?:const|let|var|val|#[ \t]*define)[ \t]+(?:mut[ \t]+)?([A-Za-z_$][\w$]{2,})"
    rb"|(?!(?:if|for|while|switch|catch|else|return|do|new|throw)\b)[A-Za-z_][^\n;=(]{0,80}?"
    rb"\b([A-Za-z_$][\w$]*)[ \t]*\([^;\n]*\)[^;\n]*\{[ \t]*$)",
    re.MULTILINE,
)
_TYPES = frozenset(b"class impl trait struct enum union interface type record object".split())
_PYTHON_ENDINGS = (".py", ".pyi", ".pyw")
_QUOTES = (b'"""', b"'''")
_NOISE = (b"#", b"//", b"/*", b"*", b"@", b")", b"]", b"}")
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


class Definition(NamedTuple):
    """Where a name is given its meaning."""

    name: bytes
    start: int  # of its first line
    kind: str  # "type": its members say most; "function"; "member" of a type; "variable"


def find_definitions(path: str, text: bytes) -> Iterator[Definition]:
    """Yield the definitions of a file, in its order."""
    pattern = _PYTHON if path.endswith(_PYTHON_ENDINGS) else _OTHER
    for match in pattern.finditer(text):
        indent, keyword, name, variable, *function = match.groups()
        kind = "variable" if variable else "type" if keyword in _TYPES else "function"
        if indent and kind == "function":
            kind = "member"
        yield Definition(name or variable or function[0], match.start(), kind)


def describe_definition(text: bytes, definition: Definition) -> tuple[bytes, int]:
    """Return the lines that describe a definition, and the offset where its text ends.

    Of a type that is its header and the header of each member, of anything else its header and the
    first lines of its body; headers of several lines are joined.

    >>> source = b"class Box:\\n  size = 1\\n\\n  def put(self,\\n    it):\\n      pass\\n"
    >>> describe_definition(source, next(find_definitions("a.py", source)))[0].decode().splitlines()
    ['class Box:', '  size = 1', '  def put(self, it):']
    """
    n_scanned = _MAX_SCANNED if definition.kind == "type" else _MAX_SCANNED // 4
    lines = text[definition.start : definition.start + n_scanned].split(b"\n")
    outer = _indent(lines[0])
    header, body = _join_lines(lines, 0)
    end = body
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > outer):
        end += 1
    if definition.kind == "variable":
        end = body
    is_type = definition.kind == "type"
    shown = [header, *_pick_lines(lines, body, end, members=is_type)]
    n_bytes = sum(len(line) + 1 for line in lines[:end])
    return b"\n".join(shown), min(definition.start + n_bytes, len(text))


def _join_lines(lines: list[bytes], number: int) -> tuple[bytes, int]:
    """Return a line with those that its open brackets go on in, and the number of the next one."""
    joined = lines[number].rstrip()
    depth = _depth(joined)
    number += 1
    while depth > 0 and number < len(lines) and len(joined) < _MAX_LINE:
        line = lines[number].strip()
        depth += _depth(line)
        is_tight = joined.endswith((b"(", b"[", b"{")) or line.startswith((b")", b"]", b"}"))
        joined += line if is_tight else b" " + line
        number += 1
    return joined[:_MAX_LINE], number


def _pick_lines(lines: list[bytes], start: int, end: int, *, members: bool) -> list[bytes]:
    """Return the lines of a body that say most: the first ones, or those at its own depth."""
    found: list[bytes] = []
    columns, quote = -1, b""
    most = MAX_LINES if members else _BODY_LINES
    number = start
    while number < end and len(found) < most:
        line = lines[number].strip()
        indent = _indent(lines[number])
        number += 1
        if quote:
            quote = b"" if quote in line else quote
        elif line.lstrip(b"rbuRBU").startswith(_QUOTES):
            mark = line.lstrip(b"rbuRBU")[:3]
            quote = mark if line.count(mark) == 1 else b""
        elif line and not line.startswith(_NOISE):
            columns = indent if columns < 0 else columns
            if not members:
                found.append(lines[number - 1].rstrip()[:_MAX_LINE])
            elif indent == columns:
                joined, number = _join_lines(lines, number - 1)
                found.append(joined)
    return found


def _depth(line: bytes) -> int:
    opened = line.count(b"(") + line.count(b"[")
    return opened - line.count(b")") - line.count(b"]")


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())


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
            for definition in find_definitions(self.path, text)
        )

    @functools.cached_property
    def lines(self) -> frozenset[bytes]:
        """The file's lines that are not too far away."""
        return find_telling_lines(self._before) | find_telling_lines(self._after)

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


def find_telling_lines(text: bytes) -> frozenset[bytes]:
    """Return the lines that tell files apart."""
    lines = (line.strip() for line in text.split(b"\n"))
    return frozenset(line for line in lines if len(line) > 8)
