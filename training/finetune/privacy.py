"""Files that hold parts of private code are their owner's alone. Knows no file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_OTHERS = 0o077


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Let whatever this process makes be its owner's alone, until the block ends."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)
