"""JSON with comments and trailing commas, as VS Code keeps its settings: read, a key put in or out.

Everything else of the text stays as it was. Knows no setting.
"""

import contextlib
import json
import re
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")


class JsoncError(ValueError):
    """The text is not an object in JSON with comments."""


def loads(text: str) -> dict[str, Any]:
    """Return the object that `text` holds; JsoncError otherwise."""
    strings: list[str] = []

    def keep(match: re.Match[str]) -> str:
        if not match.group().startswith('"'):
            return " "
        strings.append(match.group())
        return '""'

    bare = _TRAILING_COMMA.sub("", _TOKEN.sub(keep, text))
    whole = iter(strings)
    try:
        table = json.loads(re.sub('""', lambda _: next(whole), bare))
    except (ValueError, RecursionError, StopIteration) as error:
        raise JsoncError(f"not JSON with comments: {error}") from error
    if not isinstance(table, dict):
        raise JsoncError("not an object")
    return table


def with_key(text: str, key: str, value: Any) -> str:
    """Return `text` with `key` as the first of its object; it must not be there yet."""
    entry = f"{json.dumps(key)}: {json.dumps(value)}"
    if not text.strip():
        return f"{{\n    {entry}\n}}\n"
    old = loads(text)
    eol = "\r\n" if "\r\n" in text else "\n"
    start = _first_brace(text) + 1
    inserted = f"{eol}    {entry}{',' if old else ''}"
    rest = text[start:]
    if not old and not rest.lstrip(" \t").startswith(("\n", "\r")):
        inserted += eol
    new = text[:start] + inserted + rest
    if loads(new) != {key: value, **old}:
        raise JsoncError("cannot tell where the object begins")
    return new


def without_text_key(text: str, key: str) -> str:
    """Return `text` without `key`, whose value is a text; JsoncError if that cannot be done."""
    old = loads(text) if text.strip() else {}
    if key not in old:
        return text
    rest = {name: value for name, value in old.items() if name != key}
    entry = rf'\s*{re.escape(json.dumps(key))}\s*:\s*"(?:[^"\\\n]|\\.)*"(?:\s*,)?'
    for match in re.finditer(entry, text):
        new = text[: match.start()] + text[match.end() :]
        with contextlib.suppress(JsoncError):
            if loads(new) == rest:
                return new
    raise JsoncError(f"cannot tell where {key} stands")


def _first_brace(text: str) -> int:
    """Return the place of the first brace that is in no comment."""
    blanked = _TOKEN.sub(lambda match: " " * len(match.group()), text)
    return blanked.index("{")
