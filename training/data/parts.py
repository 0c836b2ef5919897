"""What came of each task of a long command, kept on disk: one that was interrupted goes on.

A part is one file, its own hash and bytes, named after all that decides on its content. One that is
damaged or was made by other rules is not found. Knows nothing of the work.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection
from pathlib import Path

from model.publish import write_atomically

_SUFFIX = ".part"
_HASH_BYTES = hashlib.sha256().digest_size


class Parts:
    """The parts in one folder."""

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
