"""Folders of corpora and rows: replaced only on request, and only where they are ours.

And the parts of a long command, kept on disk, so that an interrupted one goes on. Knows nothing of
what is in a folder but the name of the file that marks it.
"""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from model.config import ConfigError
from model.publish import publish_folder, write_atomically

_ABANDONED_S = 3_600.0  # by a killed process: one that lives writes more often
_SUFFIX = ".part"
_HASH_BYTES = hashlib.sha256().digest_size


@contextlib.contextmanager
def new_folder(out: Path, *, marker: str, replace: bool) -> Iterator[Path]:
    """Give an empty folder to write to; it becomes `out` when the block ends without an error."""
    _check(out, marker, replace)
    for leftover in filter(Path.is_dir, out.parent.glob(f".{out.name}.*.tmp")):
        written_s = max(path.stat().st_mtime for path in (leftover, *leftover.iterdir()))
        if time.time() - written_s > _ABANDONED_S:
            shutil.rmtree(leftover)
    with publish_folder(out, replace=replace, mode=0o777) as part:
        yield part
        _check(out, marker, replace)  # it may have come to be while we worked


def _check(out: Path, marker: str, replace: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not (out / marker).is_file():
        raise ConfigError(f"{out} exists and has no {marker} of ours; choose another folder")
    if not replace:
        raise ConfigError(f"{out} exists; --force replaces it")


class Parts:
    """The parts in one folder: each is a file, its hash and bytes, named after what decides on it.

    One that is damaged or was made by other rules is not found.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> bytes | None:
        """Return the part of a key; None if there is none or it is damaged."""
        with contextlib.suppress(OSError):
            data = self._path(key).read_bytes()
            content = data[_HASH_BYTES:]
            if hashlib.sha256(content).digest() == data[:_HASH_BYTES]:
                return content
        return None

    def write(self, key: str, content: bytes) -> None:
        """Keep a part."""
        write_atomically(self._path(key), hashlib.sha256(content).digest() + content)

    def clear(self, keys: Collection[str] = ()) -> None:
        """Delete all parts but those of `keys`; nothing else in the folder is touched."""
        kept = {self._path(key) for key in keys}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if path not in kept:
                path.unlink()
        with contextlib.suppress(OSError):  # not empty
            self._folder.rmdir()

    def _path(self, key: str) -> Path:
        return self._folder / (hashlib.sha256(key.encode()).hexdigest()[:32] + _SUFFIX)
