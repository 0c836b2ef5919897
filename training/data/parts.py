"""What came of each task of a long command, kept on disk: one that was interrupted goes on.

A part is one file, a line of JSON and bytes, named after all that decides on its content. One that
is damaged or was made by other rules is not found. Knows nothing of the work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from model.publish import write_atomically

_SUFFIX = ".part"


class Parts:
    """The parts in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Return the part of a key; None if there is none or it is damaged."""
        try:
            head, _, content = self._path(key).read_bytes().partition(b"\n")
            table = json.loads(head)
            is_whole = hashlib.sha256(content).hexdigest() == table["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (table, content) if is_whole else None

    def write(self, key: str, table: dict[str, Any], content: bytes) -> None:
        """Keep a part."""
        head = json.dumps(table | {"sha256": hashlib.sha256(content).hexdigest()})
        write_atomically(self._path(key), head.encode() + b"\n" + content)

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
