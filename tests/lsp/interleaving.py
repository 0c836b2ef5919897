"""Runs threads and an event loop one step at a time, in an order that a seed chooses.

One thread at a time goes on; where it would wait, take a lock or wake another one, the seed says
which is next. Time is not the clock's: it passes only when all wait for it. What asyncio promises
stays so: callbacks run in the order in which they were put.
"""

import asyncio
import contextlib
import math
import random
import selectors
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

STUCK_S = 120.0  # of the clock: a thread waits for something else than this


class EndedError(BaseException):
    """The play is over; raised in threads that wait."""


class StuckError(AssertionError):
    """All wait, and for nothing that will come."""


class Stage:
    """The one place where threads wait."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now_s = 1_000.0
        self.is_over = False
        self._gate = threading.Condition()
        self._waiting: dict[object, tuple[Callable[[], bool], float]] = {}
        self._local = threading.local()
        self._local.me = self._running = "main"

    def pause(self, until: Callable[[], bool] = lambda: True, within_s: float = math.inf) -> None:
        """Let others go on, and this thread again once `until` holds or the time is over."""
        with self._gate:
            me = self._local.me
            self._waiting[me] = until, self.now_s + within_s
            self._choose()
            while self._running is not me:
                if not self._gate.wait(STUCK_S):
                    raise StuckError(f"{self._running} does not go on")
                if self.is_over and me != "main":
                    raise EndedError

    def sleep(self, most_s: float) -> None:
        self.pause(lambda: False, self.dice.random() * most_s)

    def begin(self, actor: "Thread") -> None:
        """Let a new thread wait for its turn."""
        self._waiting[actor] = (lambda: True, math.inf)
        threading.Thread(target=self._run, args=(actor,), daemon=True).start()
        self.pause()

    def _run(self, actor: "Thread") -> None:
        self._local.me = actor
        with self._gate:
            while self._running is not actor and not self.is_over:
                self._gate.wait()
        with contextlib.suppress(EndedError):
            if not self.is_over:
                actor.target(*actor.args)
        with self._gate:
            actor.is_done = True
            if not self.is_over:
                self._choose()

    def end(self) -> None:
        """End the threads that wait."""
        with self._gate:
            self.is_over = True
            self._gate.notify_all()

    def _choose(self) -> None:
        while True:
            ready = [
                who
                for who, (until, end_s) in self._waiting.items()
                if until() or end_s <= self.now_s
            ]
            if ready:
                break
            self.now_s = min((end_s for _, end_s in self._waiting.values()), default=math.inf)
            if self.now_s == math.inf:
                ready = ["main"]  # which is told so
                self._waiting["main"] = (lambda: True, 0.0)
                self.is_over = True
                break
        self._running = self.dice.choice(ready)
        del self._waiting[self._running]
        self._gate.notify_all()

    def threading(self) -> SimpleNamespace:
        """Return what to put in the place of the module."""
        return SimpleNamespace(
            Thread=lambda **what: Thread(self, **what),
            Condition=lambda: Condition(self),
            Semaphore=lambda n: Semaphore(self, n),
        )

    def time(self) -> SimpleNamespace:
        return SimpleNamespace(monotonic=lambda: self.now_s)


class Thread:
    """As `threading.Thread`."""

    def __init__(self, stage: Stage, target: Any, args: Any = (), **_: Any) -> None:
        self._stage = stage
        self.target = target
        self.args = args
        self.is_done = False

    def start(self) -> None:
        self._stage.begin(self)

    def join(self, timeout: float = math.inf) -> None:
        self._stage.pause(lambda: self.is_done, timeout)


class Condition:
    """As `threading.Condition`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._is_held = False
        self._sleepers: list[list[bool]] = []

    def __enter__(self) -> None:
        self._stage.pause(lambda: not self._is_held)
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False
        if not self._stage.is_over:
            self._stage.pause()

    def wait_for(self, is_met: Callable[[], Any], timeout: float = math.inf) -> Any:
        end_s = self._stage.now_s + timeout
        while not (found := is_met()) and self._stage.now_s < end_s:
            woken: list[bool] = []
            self._sleepers.append(woken)
            self._is_held = False
            self._stage.pause(lambda: bool(woken), end_s - self._stage.now_s)  # noqa: B023
            self._stage.pause(lambda: not self._is_held)
            self._is_held = True
        return found

    def notify_all(self) -> None:
        for woken in self._sleepers:
            woken.append(True)
        self._sleepers.clear()


class Semaphore:
    """As `threading.Semaphore`."""

    def __init__(self, stage: Stage, n: int) -> None:
        self._stage = stage
        self._n = n

    def acquire(self) -> None:
        self._stage.pause(lambda: self._n > 0)
        self._n -= 1

    def release(self) -> None:
        self._n += 1
        self._stage.pause()


class Loop(asyncio.SelectorEventLoop):
    """An event loop on the stage: it waits there, and its time is that of the stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._is_woken = False
        super().__init__(_NoFiles(self))

    def time(self) -> float:
        return self._stage.now_s

    def call_soon_threadsafe(self, *arguments: Any, **options: Any) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(*arguments, **options)
        self._stage.pause()
        return handle

    def _write_to_self(self) -> None:
        self._is_woken = True

    def wait(self, timeout_s: float | None) -> None:
        within_s = math.inf if timeout_s is None else timeout_s
        self._stage.pause(lambda: self._is_woken or within_s == 0, within_s)
        self._is_woken = False
        if self._stage.is_over:
            raise StuckError("all wait, for ever")


class _NoFiles(selectors.SelectSelector):
    """Waits on the stage, where there is nothing to read."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop.wait(timeout)
        return []
