"""The few ways in which foretype reads files: regular ones, of bounded size.

Knows bytes and paths, not what they mean.
"""

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

_MAX_DIGITS = 19


class UnreadableFileError(OSError):
    """A file cannot be read as asked; the message names it and says why."""


class MissingFileError(UnreadableFileError):
    """There is no such file."""


def read_regular(
    path: Path, max_bytes: int, *, allow_links: bool = True, inside: Path | None = None
) -> bytes:
    """Return the bytes of a regular file of at most `max_bytes`.

    Never waits on a FIFO or device. Without `allow_links`, symbolic links and files with several
    names are refused too; with `inside`, a path on which any link stands below that folder. Raises
    UnreadableFileError.
    """
    if inside is not None:
        plain = os.path.join(os.path.realpath(inside), path.relative_to(inside))  # noqa: PTH118
        # Windows takes a name in any case, and tells it as it was written.
        if os.path.normcase(os.path.realpath(path)) != os.path.normcase(plain):
            raise UnreadableFileError(f"{path} is behind a symbolic link")
    handle = open_regular(path, max_bytes, allow_links=allow_links)
    with os.fdopen(handle, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:  # it grew after its size was checked
        raise UnreadableFileError(f"{path} is larger than {max_bytes} bytes")
    return data


def open_regular(path: Path, max_bytes: int, *, allow_links: bool = True) -> int:
    """Return a descriptor of a file, checked as `read_regular` says; the caller closes it."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    if not allow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
        if path.is_symlink():
            raise UnreadableFileError(f"{path} is a symbolic link; put the file itself there")
    try:
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        kind = MissingFileError if is_missing else UnreadableFileError
        reason = getattr(error, "strerror", None) or str(error)
        raise kind(f"cannot open {path}: {reason}") from error
    try:
        _check_regular(path, os.fstat(handle), max_bytes, allow_links)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_regular(path: Path, info: os.stat_result, max_bytes: int, allow_links: bool) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableFileError(f"{path} is not a regular file")
    if not allow_links and info.st_nlink > 1:
        raise UnreadableFileError(f"{path} has {info.st_nlink} names (hard links); copy it instead")
    if info.st_size > max_bytes:
        raise UnreadableFileError(
            f"{path} has {info.st_size} bytes; at most {max_bytes} are allowed"
        )


def from_root(path: Path) -> Path:
    """Return a path from the root on, without `..`: whoever looks upwards must not meet them.

    Links keep their names, but for those before a `..`, which the system follows.
    """
    parts = path.absolute().parts
    n = max((n for n, part in enumerate(parts, 1) if part == ".."), default=0)
    return Path(os.path.realpath(Path(*parts[:n])) if n else "", *parts[n:])


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return what is different after each change of a file; None if there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns, info.st_size


def parse_json(data: bytes | str) -> Any:
    """Return what JSON of ours says; ValueError for all else.

    Too deep a nesting is none of ours, nor a number that no 64 bits hold.
    """
    try:
        return json.loads(
            data, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_parse_float
        )
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Return what TOML says; ValueError if it is none, or as for JSON."""
    import tomllib  # most users have no such file, and the server starts sooner without it

    try:
        return tomllib.loads(text, parse_float=_parse_float)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        hint = "; texts have quotes, true and false none" * ("Invalid value" in str(error))
        raise ValueError(f"{error}{hint}") from error


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("too large a number")
    return int(text)


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
