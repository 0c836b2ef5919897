"""Path patterns of the user's settings, with the rules of ignore files.

A pattern means files and folders of that name at any depth, and all that a folder holds:
`private`, `private/`, `private/*`, `**/private/**` and `*.secret.py` do what they do in a
`.gitignore`. Three things differ: letter case does not matter, a leading slash does not bind to
the root, and a pattern only ever adds (`!` is refused). Of more than three stars in one name, or
two `**` in a path, the inner ones and what is between them stand for anything; so in ignore files.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

OUTSIDE_PARTS = 3  # of the path of a file in no folder
_MAX_STARS = 3  # of one name: each more takes hundreds of times as long
_MAX_DEPTHS = 2  # `**` behind the first name: each more, five times as long


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
    if _is_absolute(pattern):
        return f"{pattern!r} is an absolute path; write it from the folder on that you open"
    if not pattern.strip().strip("/") or pattern.startswith("#"):
        return f"{pattern!r} names nothing; leave it out"
    return f"{pattern!r} is no pattern: {fault}" if (fault := _fault(_anywhere(pattern))) else ""


def _is_absolute(pattern: str) -> bool:
    """Say whether it names a place on this machine: `/lib/` is a folder of any name `lib`."""
    home = Path(os.path.expanduser("~")).as_posix()  # noqa: PTH111  where there is no home, too
    if pattern.startswith(("~/", home + "/")) or re.match("[A-Za-z]:/", pattern):
        return True
    fixed = re.split(r"[*?\[]", pattern)[0].rpartition("/")[0]
    return fixed.startswith("/") and fixed.count("/") > 1 and os.path.exists(fixed)  # noqa: PTH110  one that may not be asked about is none


def file_names(file: Path, folder: Path | None) -> tuple[str, ...]:
    """Return what patterns may call a file: its own name, and that of what links lead to.

    From the name of `folder` on; elsewhere the end of its path.
    """
    real = Path(os.path.realpath(file)), folder and Path(os.path.realpath(folder))
    names = []
    for path, around in ((file, folder), real):
        if around is not None and path.is_relative_to(around):
            names.append(f"{around.name}/{path.relative_to(around).as_posix()}")
        else:
            names.append("/".join(path.parts[-OUTSIDE_PARTS:]))
    return tuple(dict.fromkeys(names))


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

    return GitIgnoreSpec.from_lines(_quick(_anywhere(each)) for each in patterns if each.strip("/"))


def _anywhere(pattern: str) -> str:
    plain = pattern.casefold().lstrip("/")
    return plain if plain.startswith("**/") else f"**/{plain}"


def ignore_spec(lines: Iterable[str]) -> GitIgnoreSpec:
    """Return the patterns of an ignore file; a line that is none matches nothing, as in git."""
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(_quick(line) for line in lines if not _fault(line))


def _quick(line: str) -> str:
    """Return a line that is soon compared with a name; instead of a costly one, a wider one."""
    names = [_quick_name(name) for name in line.split("/")]
    inner = [place for place, name in enumerate(names) if name == "**" and place]
    if len(inner) > _MAX_DEPTHS:
        del names[inner[0] + 1 : inner[-1] + 1]
    if names == line.split("/"):
        return line
    return "" if line.startswith("!") else "/".join(names)


def _quick_name(name: str) -> str:
    parts = re.split(r"\*+", name)
    if len(parts) <= _MAX_STARS + 1:
        return name
    return "*" if "[" in name else "*".join([*parts[:2], *parts[-2:]])


def _fault(pattern: str) -> str:
    """Return why an ignore file's line is no pattern; "" if it is one."""
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([pattern])
    except (ValueError, re.error) as error:
        return str(error)
    return ""
