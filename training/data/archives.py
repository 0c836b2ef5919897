"""Source archives (.tar.gz, .tgz, .zip), read in memory: nothing of them is ever written to disk.

Only regular files with plain names count: no links, no devices, no absolute or climbing paths, no
second file of a name. What an archive may unpack to is bounded, whatever its headers say. Knows no
licence and no filter.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from training.errors import TrainingError

SUFFIXES = (".tar.gz", ".tgz", ".zip")
MAX_UNPACKED_BYTES = 1 << 29
MAX_MEMBERS = 100_000
_READ_BYTES = 1 << 20
_READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # this and the next: of odd zip files
    UnicodeDecodeError,
)

_Member = Callable[[], IO[bytes]]  # opens one file, while the archive stands at it


class ArchiveError(TrainingError):
    """An archive cannot be read; the message names it."""


def is_archive(path: Path) -> bool:
    """Say whether the name is that of an archive we can read."""
    return path.name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """Return the file's name without the ending.

    >>> stem(Path("some/pkg-1.2.tar.gz"))
    'pkg-1.2'
    """
    suffix = next(suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)]


def sizes(path: Path) -> dict[str, int]:
    """Return the size of each regular file by its name in the archive."""
    with _errors_named(path):
        return {name: n_bytes for name, n_bytes, _ in _files(path)}


def contents(path: Path, names: Collection[str], *, max_bytes: int) -> dict[str, bytes]:
    """Return the contents of the files named; longer ones than `max_bytes` are left out."""
    wanted = frozenset(names)
    found: dict[str, bytes] = {}
    with _errors_named(path):
        for name, n_bytes, member in _files(path):
            if name in wanted and n_bytes <= max_bytes:
                with member() as file:
                    content = file.read(max_bytes + 1)
                if len(content) <= max_bytes:
                    found[name] = content
    return found


@contextlib.contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what the archive modules raise about damaged and odd files into our error."""
    try:
        yield
    except _READ_ERRORS as error:
        raise ArchiveError(f"cannot read {path}: {error}") from error


def _files(path: Path) -> Iterator[tuple[str, int, _Member]]:
    """Yield (name, bytes, how to open it) of the regular files; the first of each name."""
    members = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    seen: set[str] = set()
    for name, n_bytes, member in members(path):
        if _is_plain(name) and name not in seen:
            seen.add(name)
            yield name, n_bytes, member


class _Limited:
    """A stream that refuses to give more than the limit: headers can promise anything."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._left = MAX_UNPACKED_BYTES

    def read(self, n_bytes: int = -1) -> bytes:
        """Read at most `n_bytes`."""
        content = self._file.read(min(n_bytes, _READ_BYTES) if n_bytes >= 0 else _READ_BYTES)
        self._left -= len(content)
        if self._left < 0:
            raise ArchiveError(f"{self._path} unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return content


def _tar_members(path: Path) -> Iterator[tuple[str, int, _Member]]:
    with gzip.open(path) as unpacked:
        limited = cast(IO[bytes], _Limited(cast(IO[bytes], unpacked), path))
        with tarfile.open(fileobj=limited, mode="r|") as archive:
            for n_before, item in enumerate(archive):
                if n_before == MAX_MEMBERS:
                    raise ArchiveError(f"{path} has more than {MAX_MEMBERS} members")
                if item.isreg() and not item.issparse():
                    # a regular file always has content to extract
                    opened = cast(_Member, functools.partial(archive.extractfile, item))
                    yield item.name, item.size, opened


def _zip_members(path: Path) -> Iterator[tuple[str, int, _Member]]:
    n_left = MAX_UNPACKED_BYTES
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            kind = stat.S_IFMT(item.external_attr >> 16)  # 0: no one said
            is_encrypted = item.flag_bits & 1
            if item.is_dir() or is_encrypted or kind not in {0, stat.S_IFREG}:
                continue
            n_left -= item.file_size
            if n_left < 0:
                raise ArchiveError(f"{path} unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            yield item.filename, item.file_size, functools.partial(archive.open, item)


def _is_plain(name: str) -> bool:
    """Say whether a name is a relative path that stays below its folder."""
    parts = PurePosixPath(name).parts
    is_relative = not name.startswith("/") and "\\" not in name and ":" not in name
    return bool(parts) and is_relative and ".." not in parts and name.isprintable()
