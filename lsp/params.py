"""Takes typed values out of a message's parameters, or names the member that is wrong.

Messages stay plain dictionaries: the generated classes for the whole protocol cost a second of
imports, twice the time in which `initialize` must be answered. Error texts name members, never
their values, which may be the user's text.
"""

from collections.abc import Mapping
from typing import Any

from lsp.positions import Change, Position


class BadParamsError(ValueError):
    """A member is missing or of the wrong kind; the text names it."""


def member(params: object, *path: str) -> Any:
    """Return the value at `path`."""
    value = params
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            raise BadParamsError(f"{'.'.join(path)} is missing")
        value = value[name]
    return value


def optional(params: object, *path: str) -> Any:
    """Return the value at `path`, or None."""
    try:
        return member(params, *path)
    except BadParamsError:
        return None


def text_at(params: object, *path: str) -> str:
    """Return the string at `path`."""
    value = member(params, *path)
    if not isinstance(value, str):
        raise BadParamsError(f"{'.'.join(path)} must be a string")
    return value


def integer_at(params: object, *path: str, least: int | None = None) -> int:
    """Return the integer at `path`, at least `least`."""
    value = member(params, *path)
    if type(value) is not int:  # bool is an int to isinstance
        raise BadParamsError(f"{'.'.join(path)} must be an integer")
    if least is not None and value < least:
        raise BadParamsError(f"{'.'.join(path)} must be at least {least}")
    return value


def position_at(params: object, *path: str) -> Position:
    """Return the position at `path`."""
    value = member(params, *path)
    return Position(
        line=integer_at(value, "line", least=0),
        character=integer_at(value, "character", least=0),
    )


def changes_at(params: object) -> list[Change]:
    """Return the edits of a didChange notification."""
    changes = member(params, "contentChanges")
    if not isinstance(changes, list):
        raise BadParamsError("contentChanges must be a list")
    return [_change(change) for change in changes]


def _change(change: object) -> Change:
    text = text_at(change, "text")
    if optional(change, "range") is None:
        return Change(text)
    return Change(text, position_at(change, "range", "start"), position_at(change, "range", "end"))
