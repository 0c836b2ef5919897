"""Lets the n-th operation on files below a folder fail, as a full or a dying disk would.

One seam for all of them: Python's audit events for what is opened, renamed, made and removed, and
three functions of `os` for what is written and synced. Native code is not seen.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)
_EVENTS = frozenset(
    "open os.rename os.mkdir os.remove os.rmdir os.listdir os.scandir os.chmod".split()
)


class Faults:
    """Counts operations below `folder`; the `at`-th (from 1, 0: none) fails with `code`."""

    def __init__(self, folder: Path, at: int = 0, code: int = errno.EIO) -> None:
        self.n_seen = 0
        self._folder = os.fspath(folder)
        self._at = at
        self._code = code

    def is_meant(self) -> bool:
        """Count an operation; say whether it is the one to fail."""
        self.n_seen += 1
        return self.n_seen == self._at

    def look_at(self, event: str, path: object) -> None:
        """Count an audit event, and raise if it is the one."""
        place = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if event in _EVENTS and place.startswith(self._folder) and self.is_meant():
            raise OSError(self._code, os.strerror(self._code), place)

    def write(self, plain: Any, handle: int, data: Any) -> int:
        """Write, or what a disk that fills up takes of it."""
        if not self.is_meant():
            return int(plain(handle, data))
        if self._code == errno.ENOSPC and len(data) > 1:  # a short write, no error
            return int(plain(handle, bytes(data[: len(data) // 2])))
        raise OSError(self._code, os.strerror(self._code))


_active: list[Faults] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and arguments:
        _active[-1].look_at(event, arguments[0])


sys.addaudithook(_hook)


class _File:
    """A file whose writes and syncs are counted."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def write(self, data: Any) -> int:
        if self._faults.is_meant():
            self._inner.write(bytes(data[: len(data) // 2]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._inner.write(data))

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def failing(folder: Path, at: int = 0, code: int = errno.EIO) -> Iterator[Faults]:
    """Let an operation fail inside the block; with `at` 0 only count."""
    faults = Faults(folder, at, code)
    plain_write, plain_sync, plain_open = os.write, os.fsync, os.fdopen

    def sync(handle: int) -> None:
        if faults.is_meant():
            raise OSError(faults._code, os.strerror(faults._code))
        plain_sync(handle)

    def fdopen(handle: int, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = plain_open(handle, mode, *rest, **options)
        return _File(file, faults) if "w" in mode else file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: faults.write(plain_write, handle, data))
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "fdopen", fdopen)
        _active.append(faults)
        try:
            yield faults
        finally:
            _active.pop()
