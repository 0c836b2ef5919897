"""Writes messages to the client from a thread of its own, in the order they were put.

The queue is bounded: a client that stops reading holds up whoever puts next, hence also the
reading of further requests, so that memory stays flat and nothing is lost when it goes on.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

from lsp.framing import frame
from lsp.jsonrpc import dump

MAX_WAITING = 256


class Outbox:
    """Owns the client's end for writing; `on_broken` is called once if the client is gone."""

    def __init__(self, write: Callable[[bytes], None], on_broken: Callable[[], None]) -> None:
        self._write = write
        self._on_broken = on_broken
        self._queue: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        """Queue `message`; waits while the queue is full."""
        self._queue.put(frame(dump(message)))

    def close(self, timeout_s: float) -> None:
        """Write what is queued, for at most `timeout_s`."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        is_broken = False
        while (data := self._queue.get()) is not None:
            if is_broken:
                continue  # keeps draining, so that nobody waits in put()
            try:
                self._write(data)
            except OSError:
                is_broken = True
                self._on_broken()
