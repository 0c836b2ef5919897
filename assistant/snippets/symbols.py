"""Definitions by the look of their first line: names, places, and the lines that describe them.

Regular expressions over whole files, since thousands of files are looked through at once; a
definition in a string or a comment is found too, and does no harm where it only suggests what to
show. Works on UTF-8 bytes. Knows no index and no cursor.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a name is given its meaning."""

    name: bytes
    start: int  # of its first line
    kind: str  # "type": its members say most; "function"; "member" of a type; "variable"


def definitions(path: str, text: bytes) -> Iterator[Definition]:
    """Yield the definitions of a file, in its order."""
    pattern = _PYTHON if path.endswith(_PYTHON_ENDINGS) else _OTHER
    for match in pattern.finditer(text):
        indent, keyword, name, variable, *function = match.groups()
        kind = "variable" if variable else "type" if keyword in _TYPES else "function"
        if indent and kind == "function":
            kind = "member"
        yield Definition(name or variable or function[0], match.start(), kind)


def described(text: bytes, definition: Definition) -> tuple[bytes, int]:
    """Return the lines that describe a definition, and the offset where its text ends.

    Of a type that is its header and the header of each member, of anything else its header and the
    first lines of its body; headers of several lines are joined.

    >>> source = b"class Box:\\n  size = 1\\n\\n  def put(self,\\n    it):\\n      pass\\n"
    >>> described(source, next(definitions("a.py", source)))[0].decode().splitlines()
    ['class Box:', '  size = 1', '  def put(self, it):']
    """
    n_scanned = _MAX_SCANNED if definition.kind == "type" else _MAX_SCANNED // 4
    lines = text[definition.start : definition.start + n_scanned].split(b"\n")
    outer = _indent(lines[0])
    header, body = _joined(lines, 0)
    end = body
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > outer):
        end += 1
    if definition.kind == "variable":
        end = body
    is_type = definition.kind == "type"
    shown = [header, *_inside(lines, body, end, members=is_type)]
    n_bytes = sum(len(line) + 1 for line in lines[:end])
    return b"\n".join(shown), min(definition.start + n_bytes, len(text))


def _joined(lines: list[bytes], number: int) -> tuple[bytes, int]:
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


def _inside(lines: list[bytes], start: int, end: int, *, members: bool) -> list[bytes]:
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
                joined, number = _joined(lines, number - 1)
                found.append(joined)
    return found


def _depth(line: bytes) -> int:
    opened = line.count(b"(") + line.count(b"[")
    return opened - line.count(b")") - line.count(b"]")


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())
