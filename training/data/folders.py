"""Write a folder aside and rename it into place: readers see it complete or not at all.

A folder that is there is replaced only on request, and only if it is one of ours. Knows nothing of
what is in it but the name of the file that marks it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from model.config import ConfigError


@contextlib.contextmanager
def new_folder(out: Path, *, marker: str, replace: bool) -> Iterator[Path]:
    """Give an empty folder to write to; it becomes `out` when the block ends without an error."""
    _check(out, marker, replace)
    part = out.with_name(f"{out.name}.part-{os.getpid()}")
    part.mkdir(parents=True)
    try:
        yield part
        _check(out, marker, replace)  # it may have come to be while we worked
        _move(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check(out: Path, marker: str, replace: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not (out / marker).is_file():
        raise ConfigError(f"{out} exists and has no {marker} of ours; choose another folder")
    if not replace:
        raise ConfigError(f"{out} exists; --force replaces it")


def _move(part: Path, out: Path) -> None:
    if not out.exists():
        part.rename(out)
        return
    old = out.with_name(f"{out.name}.old-{os.getpid()}")
    out.rename(old)
    part.rename(out)
    shutil.rmtree(old)
