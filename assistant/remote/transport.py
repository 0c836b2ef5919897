"""A thread with an event loop on which requests travel.

Each request has an HTTP client of one connection to itself. One that nobody wants any more is
cancelled, and its client thrown away with whatever cancelling leaves behind in it; only the client
of an answer that came whole serves again. The thread, the loop and the HTTP library begin with the
first request. What may take a while, preparing a request and looking up names, has daemon threads,
for which no exit of ours waits.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from assistant.remote.errors import RemoteError
from assistant.remote.inflight import InflightRequest
from assistant.remote.request_guard import RequestGuard
from assistant.remote.settings import RemoteSettings

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

MAX_INFLIGHT = 4
MAX_ATTEMPTS = 3
BACKOFF_S = 0.1  # before the second attempt; doubled for the third, and drawn by lot below that
CLOSE_S = 2.0

T = TypeVar("T")


class Transport:
    """Starts requests from any thread."""

    def __init__(
        self,
        settings: RemoteSettings,
        guard: RequestGuard,
        *,
        on_over: Callable[[InflightRequest], None] = lambda _: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._on_over = on_over  # called on the loop's thread
        self._draw = draw
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._inflight: dict[InflightRequest, Future[None]] = {}
        self._idle: list[httpx2.AsyncClient] = []  # of the loop's thread only

    @property
    def n_inflight(self) -> int:
        """How many are under way."""
        with self._lock:
            return len(self._inflight)

    def start(self, inflight: InflightRequest) -> None:
        """Prepare and send; RemoteError (busy) if too many are under way."""
        with self._lock:
            if self._is_closed or len(self._inflight) >= MAX_INFLIGHT:
                raise RemoteError("busy", "too many requests are under way")
            inflight.loop, inflight.started_s = self._open_loop(), time.monotonic()
            owner = asyncio.run_coroutine_threadsafe(self._own(inflight), inflight.loop)
            self._inflight[inflight] = owner

    def warm_up(self) -> None:
        """Begin the thread and import HTTP there, so that the first request need not wait."""
        with self._lock:
            if not self._is_closed:
                self._open_loop().call_soon_threadsafe(self._open_first)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop what is under way and end the thread, waiting at most `timeout_s` for it."""
        end_s = time.monotonic() + timeout_s
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
            inflight, loop, thread = dict(self._inflight), self._loop, self._thread
        for each in inflight:
            each.stop()
        if is_first and loop is not None and thread is not None:
            concurrent.futures.wait(inflight.values(), timeout_s)
            asyncio.run_coroutine_threadsafe(self._end(), loop)
            thread.join(max(0.0, end_s - time.monotonic()))

    def _open_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_default_executor(_DaemonThreads())
            self._thread = threading.Thread(
                target=_run, args=(self._loop,), name="remote", daemon=True
            )
            self._thread.start()
        return self._loop

    # -- on the loop's thread

    async def _end(self) -> None:
        await asyncio.gather(*(client.aclose() for client in self._idle), return_exceptions=True)
        asyncio.get_running_loop().stop()

    def _open_first(self) -> None:
        with contextlib.suppress(RemoteError):  # the first request will say it
            self._idle.append(self._open_client())

    def _open_client(self) -> "httpx2.AsyncClient":
        from assistant.remote.client import open_client  # brings the HTTP library

        return self._idle.pop() if self._idle else open_client(self._settings)

    async def _own(self, inflight: InflightRequest) -> None:
        """See one request from its start to its end."""
        loop, total_s = asyncio.get_running_loop(), self._settings.total_s
        late = RemoteError("too slow", f"no whole answer within {total_s:g} s")
        timer = loop.call_later(total_s, inflight.halt, late)
        error: RemoteError | None = None
        inflight.task = asyncio.current_task()
        try:
            inflight.check()
            await loop.run_in_executor(None, self._guard.prepare, inflight)
            await self._attempt_repeatedly(inflight)
        except RemoteError as problem:
            error = problem
        except asyncio.CancelledError:  # nobody cancels but `halt`, and it only once
            error = inflight.halted
        except Exception as problem:  # noqa: BLE001  a fault of ours must not leave a waiter behind
            log.warning("remote: %s in our own code", type(problem).__name__)
            error = RemoteError("failed", f"{type(problem).__name__} in our own code")
        timer.cancel()
        inflight.finish(error)
        try:
            self._on_over(inflight)
            if inflight.client is not None and error is None and inflight.halted is None:
                self._idle.append(inflight.client)
            elif inflight.client is not None:
                await inflight.client.aclose()
        finally:
            with self._lock:
                del self._inflight[inflight]

    async def _attempt_repeatedly(self, inflight: InflightRequest) -> None:
        for n in range(MAX_ATTEMPTS):
            inflight.begin_attempt()
            self._guard.allow(inflight)
            error = await self._attempt(inflight)
            if error is None:
                return
            delay_s = error.retry_after_s
            if delay_s is None:
                delay_s = BACKOFF_S * float(1 << n) * (0.5 + self._draw() / 2)
            deadline = inflight.started_s + self._settings.total_s
            is_late = time.monotonic() + delay_s >= deadline
            if n + 1 == MAX_ATTEMPTS or not error.may_retry or is_late:
                raise error
            await asyncio.sleep(delay_s)

    async def _attempt(self, inflight: InflightRequest) -> RemoteError | None:
        from assistant.remote.client import ask

        started = time.monotonic()
        error: RemoteError | None = None
        try:
            inflight.client = inflight.client or self._open_client()
            await ask(inflight.client, inflight)
        except RemoteError as problem:
            error = problem
        except asyncio.CancelledError:
            error = None if inflight.is_whole else inflight.halted
        self._guard.record(inflight, error, time.monotonic() - started)
        return error


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


class _DaemonThreads(ThreadPoolExecutor):
    """A thread for each job, which the end of the process does not wait for: a dead resolver."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a job."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  handed to who waits
                future.set_exception(error)

        threading.Thread(target=work, name="remote-names", daemon=True).start()
        return future
