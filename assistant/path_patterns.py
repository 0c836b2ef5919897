"""Path patterns of the user's settings, with the rules of ignore files.

A pattern means files and folders of that name at any depth, and all that a folder holds:
`private`, `private/`, `private/*`, `**/private/**` and `*.secret.py` do what they do in a
`.gitignore`. Three things differ: letter case does not matter, a leading slash does not bind to
the root, and a pattern only ever adds (`!` is refused).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


def find_mistake(pattern: str) -> str:
    """Return why a pattern can match nothing, and what to write instead; "" if it is fine."""
    if "\\" in pattern:
        return f"{pattern!r} has a backslash; write {pattern.replace(chr(92), '/')!r}"
    if pattern.startswith("!"):
        return f"{pattern!r} would take a pattern back, which is not supported; leave it out"
    if pattern.startswith(("./", "../")) or "/../" in pattern:
        return f"{pattern!r} is relative to a folder; write {pattern.lstrip('./')!r}"
    if "{" in pattern and "," in pattern and "}" in pattern:
        return f"{pattern!r} has braces, which ignore files do not know; write one pattern each"
    if not pattern.strip().strip("/") or pattern.startswith("#"):
        return f"{pattern!r} names nothing; leave it out"
    return ""


@functools.lru_cache(maxsize=256)  # asked at every key
def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Say whether one of the patterns means the file at `path`, relative or absolute."""
    if not patterns:
        return False
    spec = _compile(patterns)
    return spec.match_file(path.replace("\\", "/").casefold().lstrip("/"))


@functools.lru_cache(maxsize=16)
def _compile(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # most users exclude nothing: 30 ms of the start are theirs

    plain = (pattern.casefold().lstrip("/") for pattern in patterns)
    return GitIgnoreSpec.from_lines(
        pattern if pattern.startswith("**/") else f"**/{pattern}" for pattern in plain if pattern
    )
