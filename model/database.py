"""SQLite files of this user's alone.

Knows no table but what it is told.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from model.paths import find_exposure


@contextlib.contextmanager
def open_database(path: Path, schema: str, *, timeout_s: float) -> Iterator[sqlite3.Connection]:
    """Yield a connection in one transaction, which is undone where an exception leaves it.

    The file is made if it is missing, closed to others. OSError or sqlite3.Error if it cannot be
    used, as after waiting so long for who else writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o600)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"{path} is not a regular file")
        if exposure := find_exposure(path.parent, path):
            raise OSError(exposure)
        if os.name != "nt" and mode & 0o077:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)
    with contextlib.closing(sqlite3.connect(path, timeout=timeout_s)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")  # before reading: two that both read could not write
        connection.execute(schema)
        yield connection
