"""Writes messages to the client from a thread of its own, in the order they were put.

Putting never waits, so that the event loop never does. Whoever lets requests in asks for room
first: a client that does not read holds up the reading of its own further requests, memory stays
flat, and nothing is lost when it goes on.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from lsp.framing import dump, frame

MAX_WAITING = 256
STOP_S = 0.5  # granted to the last messages


class Outbox:
    """Owns the client's end for writing; `on_broken` is called once if the client is gone."""

    def __init__(self, write: Callable[[bytes], None], on_broken: Callable[[], None]) -> None:
        self._write = write
        self._on_broken = on_broken
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Mapping[str, Any]) -> None:
        """Queue `message`."""
        self.write(dump(message))

    def write(self, body: bytes) -> None:
        """Queue the message with this body; pygls writes by this name."""
        with self._changed:
            self._waiting.append(frame(body))
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait while more than `MAX_WAITING` messages are queued."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MAX_WAITING)

    def close(self, timeout_s: float = STOP_S) -> None:
        """Write what is queued, for at most `timeout_s`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            data = self._waiting.popleft()
            self._changed.notify_all()
            return data

    def _run(self) -> None:
        is_broken = False
        while (data := self._next()) is not None:
            if is_broken:
                continue  # keeps draining, so that nobody waits for room
            try:
                self._write(data)
            except OSError:
                is_broken = True
                self._on_broken()
