"""Folders of corpora and rows: replaced only on request, and only where they are ours.

Knows nothing of what is in one but the name of the file that marks it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from model.config import ConfigError
from model.publish import publish_folder


@contextlib.contextmanager
def new_folder(out: Path, *, marker: str, replace: bool) -> Iterator[Path]:
    """Give an empty folder to write to; it becomes `out` when the block ends without an error."""
    _check(out, marker, replace)
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
