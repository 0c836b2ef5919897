"""Folders of corpora and rows: replaced only on request, and only where they are ours.

Knows nothing of what is in one but the name of the file that marks it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from model.config import ConfigError
from model.publish import publish_folder

_ABANDONED_S = 3_600.0  # by a killed process: one that lives writes more often


@contextlib.contextmanager
def new_folder(out: Path, *, marker: str, replace: bool) -> Iterator[Path]:
    """Give an empty folder to write to; it becomes `out` when the block ends without an error."""
    _check(out, marker, replace)
    for leftover in out.parent.glob(f".{out.name}.*.tmp"):
        if leftover.is_dir() and _idle_s(leftover) > _ABANDONED_S:
            shutil.rmtree(leftover)
    with publish_folder(out, replace=replace, mode=0o777) as part:
        yield part
        _check(out, marker, replace)  # it may have come to be while we worked


def _idle_s(folder: Path) -> float:
    """Return how long ago something in a folder was written."""
    written_s = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - written_s


def _check(out: Path, marker: str, replace: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not (out / marker).is_file():
        raise ConfigError(f"{out} exists and has no {marker} of ours; choose another folder")
    if not replace:
        raise ConfigError(f"{out} exists; --force replaces it")
