"""The usual way to a client: standard streams, guarded.

Standard output is the protocol. Libraries print to it (onnxruntime does when a session fails), so
before anything else is imported it is moved to a private descriptor, and whatever is printed
afterwards goes to standard error.
"""

import os
from collections.abc import Callable
from typing import NamedTuple


class Channel(NamedTuple):
    """Bytes from and to one client; `read` returns b"" at the end, `write` writes all or raises."""

    read: Callable[[int], bytes]
    write: Callable[[bytes], None]
    close: Callable[[], None]


def guard_stdio() -> Channel:
    """Take standard input and output for the protocol; put /dev/null and stderr in their place."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # started with stderr closed
        os.dup2(null, 2)
        os.dup2(null, 1)
    os.close(null)

    def read(n_bytes: int) -> bytes:
        try:
            return os.read(source, n_bytes)
        except OSError:  # a terminal that has gone
            return b""

    def close() -> None:
        os.close(source)
        os.close(sink)

    return Channel(read, lambda data: _write_all(sink, data), close)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
