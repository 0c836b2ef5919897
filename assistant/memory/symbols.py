"""Definitions by the look of their first line: names, places, and a few lines that describe them.

Regular expressions over whole files, since thousands of files are looked through at once; a
definition in a string or a comment is found too, and does no harm where it only suggests what to
show. Works on UTF-8 bytes. Knows no index and no cursor.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINES = 10  # of what describes one definition
_BODY_LINES = 3  # of a function
_MAX_SCANNED = 4_000  # bytes of a body that are looked through for members
_MAX_LINE = 160  # longer lines describe nothing

_MODIFIERS = (
    rb"(?:(?:export|default|declare|public|private|protected|internal|static|abstract|final|async"
    rb"|unsafe|inline|virtual|override|pub(?:\([a-z]+\))?)[ \t]+)*"
)
_PYTHON = re.compile(
    rb"^(?:[ \t]*(?:async[ \t]+)?(class|def)[ \t]+(\w+)"
    rb"|([A-Za-z_]\w{2,})[ \t]*(?::[^=\n(]{1,60})?=(?!=))",
    re.MULTILINE,
)
_OTHER = re.compile(
    rb"^[ \t]*"
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
_NOISE = (b"#", b"//", b"/*", b"*", b"@")


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a name is given its meaning."""

    name: bytes
    start: int  # of its first line
    is_type: bool  # its members say more than its first lines


def definitions(path: str, text: bytes) -> Iterator[Definition]:
    """Yield the definitions of a file, in its order."""
    if path.endswith(_PYTHON_ENDINGS):
        for match in _PYTHON.finditer(text):
            keyword, name, variable = match.groups()
            yield Definition(name or variable, match.start(), keyword == b"class")
        return
    for match in _OTHER.finditer(text):
        keyword = match.group(1)
        name = next(group for group in match.groups()[1:] if group)
        yield Definition(name, match.start(), keyword in _TYPES)


def described(text: bytes, definition: Definition) -> tuple[bytes, int]:
    """Return the lines that describe a definition, and the offset behind the last one looked at.

    Of a type that is its header and the first line of each member, of anything else its header and
    the first lines of its body.

    >>> source = b"class Box:\\n    size = 1\\n\\n    def put(self, it):\\n        pass\\n\\nx = 1\\n"
    >>> described(source, next(definitions("a.py", source)))[0].decode().splitlines()
    ['class Box:', '    size = 1', '    def put(self, it):']
    """
    scanned = text[definition.start : definition.start + _MAX_SCANNED]
    lines = scanned.split(b"\n")
    header = _header(lines)
    end = header
    outer = _indent(lines[0])
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > outer):
        end += 1
    body = range(header, end)
    chosen = _members(lines, body) if definition.is_type else list(body)[:_BODY_LINES]
    shown = [*range(header), *chosen][:MAX_LINES]
    while shown and not lines[shown[-1]].strip():
        shown.pop()
    last = shown[-1] if shown else 0
    n_bytes = sum(len(line) + 1 for line in lines[: last + 1])
    return b"\n".join(lines[i][:_MAX_LINE].rstrip() for i in shown), definition.start + n_bytes


def _header(lines: list[bytes]) -> int:
    """Return how many lines the header has: those until its brackets are closed."""
    depth = 0
    for number, line in enumerate(lines[:MAX_LINES], start=1):
        depth += line.count(b"(") + line.count(b"[") - line.count(b")") - line.count(b"]")
        if depth <= 0:
            return number
    return 1


def _members(lines: list[bytes], body: range) -> list[int]:
    """Return the lines of a body that stand at its own depth, without remarks."""
    found: list[int] = []
    columns = -1
    quote = b""
    for number in body:
        line = lines[number].strip()
        if quote:
            quote = b"" if quote in line else quote
            continue
        if not line:
            continue
        columns = _indent(lines[number]) if columns < 0 else columns
        if line.lstrip(b"rbuRBU").startswith(_QUOTES):
            mark = line.lstrip(b"rbuRBU")[:3]
            quote = mark if line.count(mark) == 1 else b""
            continue
        if _indent(lines[number]) == columns and not line.startswith((*_NOISE, b")", b"]", b"}")):
            found.append(number)
    return found


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())
