"""A thread with an event loop on which questions travel; the only one that touches httpx.

Each flight has an owner task that nobody cancels: it is asked to stop, and its socket is hung up.
The thread, the loop and httpx begin with the first question, so an installation without a remote
pays for none of them. What may take a while before a request can go has a second thread, the desk.
"""

import asyncio
import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from assistant.remote.errors import BusyError, RemoteError
from assistant.remote.inflight import Flight, Plan
from assistant.remote.settings import RemoteSettings

if TYPE_CHECKING:
    from assistant.remote.client import Client

log = logging.getLogger(__name__)

MAX_FLIGHTS = 4
MAX_ATTEMPTS = 3
BACKOFF_S = 0.1  # before the second attempt; doubled for the third, and drawn by lot below that
CLOSE_S = 2.0

T = TypeVar("T")
_Job = tuple[Callable[[], Any], Future[Any]]


class Watcher(Protocol):
    """Who must know before a byte leaves, and what came of it; called on the transport's thread."""

    def sending(self, flight: Flight) -> None:
        """Allow an attempt; raise WithheldError to forbid it."""

    def sent(self, flight: Flight, error: RemoteError | None, seconds: float) -> None:
        """Note how an allowed attempt ended."""


class Transport:
    """Starts flights from any thread."""

    def __init__(
        self,
        settings: RemoteSettings,
        watcher: Watcher,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._watcher = watcher
        self._draw = draw
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._flights: set[Flight] = set()
        self._desk = Desk("remote-desk")
        # Of the loop's thread only:
        self._client: Client | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def n_flights(self) -> int:
        """How many are under way."""
        with self._lock:
            return len(self._flights)

    def start(self, plan: Plan, on_start: Callable[[Flight], None] = lambda _: None) -> Flight:
        """Prepare and send; BusyError if too many are under way. `on_start` comes before both."""
        flight = Flight(plan)
        with self._lock:
            if self._is_closed or len(self._flights) >= MAX_FLIGHTS:
                raise BusyError("too many questions are under way")
            self._flights.add(flight)
            on_start(flight)
            if self._loop is None:
                self._begin()
            loop = self._loop
            assert loop is not None
            loop.call_soon_threadsafe(self._launch, flight)
        flight.attach(lambda: self._call_soon(flight.halt))
        return flight

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop all flights and end the thread, waiting at most `timeout_s` for it."""
        with self._lock:
            self._is_closed = True
            flights, loop, thread = list(self._flights), self._loop, self._thread
        for flight in flights:
            flight.stop()
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop)
            thread.join(timeout_s)
        self._desk.close()

    def warm_up(self) -> None:
        """Begin the thread and import httpx there, so that the first question need not wait."""
        with self._lock:
            if self._loop is None and not self._is_closed:
                self._begin()
            loop = self._loop
        if loop is not None:
            self._call_soon(self._open_quietly)

    def _open_quietly(self) -> None:
        with contextlib.suppress(RemoteError):  # the first question will say it
            self._opened()

    def _call_soon(self, action: Callable[[], None]) -> None:
        with self._lock:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(action)

    def _begin(self) -> None:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(_Daemons())  # on which names are looked up
        self._loop = loop
        self._thread = threading.Thread(target=self._run, args=(loop,), name="remote", daemon=True)
        self._thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            with self._lock:
                loop.close()

    async def _end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S / 2)
        if self._client is not None:
            await self._client.close()
        asyncio.get_running_loop().stop()

    # -- on the loop's thread

    def _launch(self, flight: Flight) -> None:
        self._spawn(self._own(flight))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _own(self, flight: Flight) -> None:
        """See one flight from its start to its end."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(flight.plan.total_s, flight.time_out)
        error: RemoteError | None = None
        try:
            await self._attempts(flight)
        except RemoteError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001  a fault of ours must not leave a waiter behind
            log.warning("remote: %s in our own code", type(problem).__name__)
            error = RemoteError(f"{type(problem).__name__} in our own code")
        finally:
            timer.cancel()
            with self._lock:
                self._flights.discard(flight)
            flight.land(error)

    async def _attempts(self, flight: Flight) -> None:
        deadline = flight.started_s + flight.plan.total_s
        flight.call = await self._desk.run(flight.plan.prepare)
        for n in range(1, MAX_ATTEMPTS + 1):
            flight.check()
            self._watcher.sending(flight)
            error = await self._attempt(flight)
            if error is None:
                return
            delay = self._delay(error, n)
            if n == MAX_ATTEMPTS or delay is None or time.monotonic() + delay >= deadline:
                raise error
            await _pause(flight, delay)
            flight.restart()

    async def _attempt(self, flight: Flight) -> RemoteError | None:
        started = time.monotonic()
        error: RemoteError | None = None
        try:
            await self._opened().ask(flight)
        except RemoteError as problem:
            error = problem
        if (
            self._client is not None and self._client.is_wedged
        ):  # slots taken without a flight on them
            log.warning("remote: the connection pool is replaced")
            self._spawn(self._client.close())
            self._client = None
        self._watcher.sent(flight, error, time.monotonic() - started)
        return error

    def _opened(self) -> "Client":
        if self._client is None:
            from assistant.remote.client import Client  # brings httpx

            self._client = Client(self._settings)
        return self._client

    def _delay(self, error: RemoteError, n: int) -> float | None:
        """Return how long to wait before the next attempt; None if there shall be none."""
        if not error.may_retry:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s
        return BACKOFF_S * float(1 << (n - 1)) * (0.5 + self._draw() / 2)


class _Daemons(ThreadPoolExecutor):
    """A thread for each job, which the end of the process does not wait for: a dead resolver."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a job."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  handed to who waits
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="remote-names", daemon=True).start()
        return future


async def _pause(flight: Flight, seconds: float) -> None:
    """Wait, in steps small enough to notice that the flight was halted."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        flight.check()
        await asyncio.sleep(min(left, 0.02))


class Desk:
    """Runs jobs in order; the thread begins with the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Return what `job` returns; to be awaited on one event loop."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return await asyncio.wrap_future(future)

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread after the job it is at, waiting at most `timeout_s`."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                result = job()
            except Exception as error:  # noqa: BLE001  handed to who waits
                future.set_exception(error)
            else:
                future.set_result(result)
