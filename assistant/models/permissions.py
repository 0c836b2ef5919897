"""Keeps the models' folder its owner's alone, and files in it to what they say they are.

Weights tuned on private code hold parts of it. Knows folders, permissions and links; no model.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from assistant.models.entry import ModelsError
from model.paths import find_exposure
from model.publish import publish_folder

_OTHERS = 0o077


def check(folder: Path) -> None:
    """Raise ModelsError if others can decide what is in `folder`; it need not be there."""
    try:
        is_link, is_file = folder.is_symlink(), folder.is_file()
    except OSError as error:
        raise ModelsError(f"cannot look at {folder}: {error.strerror or error}") from error
    if is_link:
        raise ModelsError(f"{folder} is a symbolic link; put the folder itself there")
    if is_file:
        raise ModelsError(f"{folder} is not a folder; move it away")
    check_file(folder)


def check_file(path: Path) -> None:
    """Raise ModelsError if others can change a file; it need not be there."""
    if exposure := find_exposure(path):
        raise ModelsError(f"{exposure}; remove it, or run: chmod go-rwx {path}")


def make(folder: Path) -> None:
    """Make `folder` if needed, the owner's alone; ModelsError if it is not what it should be."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if os.name != "nt" and not folder.is_symlink() and folder.lstat().st_uid == os.getuid():
        folder.chmod(0o700)
    check(folder)


def tighten(folder: Path) -> None:
    """Take from all others what they may do with a model folder."""
    if os.name == "nt":
        return
    for path in folder.iterdir():
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
    folder.chmod(0o700)


def copy(source: Path, target: Path) -> None:
    """Copy a model folder's files to `target`, the owner's alone; it is whole or not there."""
    with publish_folder(target, replace=False) as aside:
        for path in sorted(source.iterdir()):
            if path.is_file() and not path.is_symlink():
                (aside / path.name).touch(mode=0o600)
                shutil.copyfile(path, aside / path.name)


def open_to_others(folder: Path) -> Iterator[Path]:
    """Yield what in `folder`, itself included, others may read or change."""
    if os.name == "nt" or not folder.is_dir():
        return
    for path in (folder, *sorted(folder.rglob("*"))):
        if not path.is_symlink() and path.lstat().st_mode & _OTHERS:
            yield path
