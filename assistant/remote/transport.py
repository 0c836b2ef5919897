"""Requests on their way: a thread for each, the only ones that touch the network.

A request that nobody wants any more is hung up on: the socket is shut down under its thread, and
its connection thrown away. Only one whose answer came to its end serves again. No exit of ours
waits for these threads: a resolver may be dead.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from assistant.remote.connection import Connection
from assistant.remote.errors import RemoteError
from assistant.remote.inflight import InflightRequest
from assistant.remote.request_guard import RequestGuard
from assistant.remote.settings import RemoteSettings

log = logging.getLogger(__name__)

MAX_INFLIGHT = 4
CLOSE_S = 2.0


class Transport:
    """Starts requests from any thread."""

    def __init__(
        self,
        settings: RemoteSettings,
        guard: RequestGuard,
        *,
        on_whole: Callable[[InflightRequest], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._on_whole = on_whole  # called on the request's thread
        self._lock = threading.Lock()
        self._is_closed = False
        self._inflight: dict[InflightRequest, threading.Thread] = {}
        self._idle: list[Connection] = []

    def start(self, inflight: InflightRequest) -> None:
        """Prepare and send; RemoteError (busy) if too many are under way."""
        thread = threading.Thread(target=self._own, args=(inflight,), name="remote", daemon=True)
        with self._lock:
            if self._is_closed or len(self._inflight) >= MAX_INFLIGHT:
                raise RemoteError("busy", "too many requests are under way")
            inflight.started_s = time.monotonic()
            self._inflight[inflight] = thread
            thread.start()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop what is under way, waiting at most `timeout_s` for it."""
        end_s = time.monotonic() + timeout_s
        with self._lock:
            self._is_closed = True
            inflight = dict(self._inflight)
        for each in inflight:
            each.halt()
        for thread in inflight.values():
            thread.join(max(0.0, end_s - time.monotonic()))
        while self._idle:
            self._idle.pop().close()

    # -- on the request's thread

    def _own(self, inflight: InflightRequest) -> None:
        """See one request from its start to its end."""
        total_s = self._settings.total_s
        late = RemoteError("too slow", f"no whole answer within {total_s:g} s")
        timer = threading.Timer(total_s, inflight.halt, [late])
        timer.name, timer.daemon = "remote-deadline", True
        timer.start()
        error: RemoteError | None = None
        try:
            self._guard.prepare(inflight)
            inflight.check()
            self._guard.allow(inflight)
            started_s = time.monotonic()
            error = self._ask(inflight)
            self._guard.record(inflight, error, time.monotonic() - started_s)
            if inflight.is_whole:
                self._on_whole(inflight)
        except RemoteError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001  a fault of ours must not leave a waiter behind
            log.warning("remote: %s in our own code", type(problem).__name__)
            error = RemoteError("failed", f"{type(problem).__name__} in our own code")
        timer.cancel()
        inflight.finish(error)
        with self._lock:
            del self._inflight[inflight]

    def _ask(self, inflight: InflightRequest) -> RemoteError | None:
        connection = None
        try:
            connection = self._take_connection()
            inflight.hold(connection)
            connection.ask(inflight)
        except RemoteError as error:
            return error
        finally:
            inflight.hold(None)
            if connection is not None and connection.is_usable and inflight.halted is None:
                self._idle.append(connection)
            elif connection is not None:
                connection.close()
        return None

    def _take_connection(self) -> Connection:
        with contextlib.suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.is_usable:
                    return connection
                connection.close()
        return Connection(self._settings)
