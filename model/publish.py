"""Put whole files and folders in place: after a crash there is the old one, the new one or none.

Knows bytes and paths, not what they mean.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_SYNCABLE = "r+b" if os.name == "nt" else "rb"  # Windows syncs what can be written to
# Windows refuses to replace a file that somebody reads at that moment.
_BUSY_S = (0.01, 0.05, 0.2) if os.name == "nt" else ()
LEFTOVERS = (".*.tmp", ".*.old")  # what a killed process leaves beside what it was writing


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`: after a crash it holds all of the old bytes or the new ones."""
    aside = _beside(path, "tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(aside, flags, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode) if hasattr(os, "fchmod") else None
            os.fsync(file.fileno())
        _replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def publish_folder(path: Path, *, replace: bool = True, mode: int = 0o700) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path` when the block ends without an error.

    All that was written to it is on disk before it has its name, and an old folder is deleted only
    once the new one is in place. After an error `path` is as it was: OSError if a file is there, or
    without `replace` a folder. The umask is taken from `mode`.
    """
    path = path.absolute()
    if path.is_file():
        raise FileExistsError(f"{path} is not a folder; delete what is there")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _beside(path, "tmp")
    aside.mkdir(mode=mode)
    try:
        yield aside
        _sync_tree(aside)
        if replace and os.path.lexists(path):
            _swap(aside, path)
        else:
            aside.rename(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # there only after a failure


def _replace(aside: Path, path: Path) -> None:
    for wait_s in _BUSY_S:
        with contextlib.suppress(PermissionError):
            aside.replace(path)
            return
        time.sleep(wait_s)
    aside.replace(path)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")


def _swap(aside: Path, path: Path) -> None:
    old = _beside(path, "old")
    path.rename(old)
    try:
        aside.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            old.rename(path)
        raise
    sync_folder(path.parent)  # before the old folder goes
    with contextlib.suppress(OSError):  # a leftover costs room only
        delete(old)


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if not path.is_symlink():
                with path.open(_SYNCABLE) as file:
                    os.fsync(file.fileno())
        sync_folder(Path(place))


def sync_folder(path: Path) -> None:
    """Make renames inside a folder survive a power cut, where the system can."""
    if os.name == "nt":  # folders cannot be opened there, and NTFS journals renames
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def delete(path: Path) -> None:
    """Delete a file or folder, if it is there; of a link, the link alone. OSError if it resists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)  # does not follow links either
    else:
        path.unlink(missing_ok=True)
