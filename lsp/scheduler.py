"""Runs completion requests on one worker thread: the newest of each document, nothing stale.

A request that is superseded, outdated by an edit or dropped is settled at once, on the thread that
says so; its `Cancel` stops the engine within a token, and what the engine still returns for it is
lost. Waits for an engine that is still loading, up to the request's deadline.
Knows neither messages nor documents, threads but no event loop.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.generate.engine import Engine

log = logging.getLogger(__name__)

Outcome = Sequence[Completion] | None  # None: not wanted any more


@dataclass(eq=False, kw_only=True, slots=True)
class ScheduledRequest:
    """One request under way; at most one per `key`."""

    key: Hashable
    uri: str
    request: CompletionRequest
    survives_edits: bool = False  # the client itself fits the answer to what was typed meanwhile
    future: Future[Outcome] = field(default_factory=Future)
    cancel: Cancel = field(default_factory=Cancel)
    received_s: float = field(default_factory=time.monotonic)

    def settle(self, outcome: Outcome) -> bool:
        """Give the outcome, unless there is one or nobody waits any more; say whether it was."""
        try:
            self.future.set_result(outcome)
        except InvalidStateError:
            return False
        return True


def describe(error: BaseException) -> str:
    """Say where `error` came from without its text, which may hold the user's code."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places[-6:])}"


class Scheduler:
    """Owns the worker thread and the jobs it has not answered."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._changed = threading.Condition()
        self._engine: Engine | None = None
        self._is_loaded = False  # or will never be: nothing to wait for
        self._is_stopped = False
        self._queue: dict[Hashable, ScheduledRequest] = {}  # in order of arrival
        self._running: ScheduledRequest | None = None
        self._thread: threading.Thread | None = None
        self._settings: Settings | None = None  # the last ones configured

    def configure(self, settings: Settings) -> None:
        """Complete by `settings` from the next request on, whichever engine is there or comes."""
        with self._changed:
            self._settings = settings
            if self._engine is not None:
                self._engine.settings = settings

    def use(self, engine: "Engine | None", *, is_loaded: bool = True) -> None:
        """Complete with `engine` from now on; None says that there will be none.

        One that is still loading says at once what it has to say by then, or is waited for.
        """
        with self._changed:
            self._engine, self._is_loaded = engine, is_loaded
            if engine is not None and self._settings is not None:
                engine.settings = self._settings  # it was opened with those of a moment ago
            self._changed.notify_all()

    def submit(self, job: ScheduledRequest) -> None:
        """Take `job`; an older one with its key is settled with None."""
        with self._changed:
            older = [other for other in self._unsettled() if other.key == job.key]
            self._queue.pop(job.key, None)
            self._queue[job.key] = job
            if self._running is not None:
                self._running.cancel.hurry()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="completion", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        self._give_up(older)

    def outdate(self, uri: str) -> None:
        """Settle with None what was asked about an earlier version of document `uri`."""
        self._give_up(self._remove(lambda job: job.uri == uri and not job.survives_edits))

    def drop(self, job: ScheduledRequest) -> None:
        """Stop `job`, for which nobody waits any more."""
        self._give_up([job, *self._remove(lambda other: other is job)])

    def stop(self, timeout_s: float) -> None:
        """Settle everything with None and end the worker, waiting at most `timeout_s` for it."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._give_up(self._remove(lambda _: True))
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _unsettled(self) -> list[ScheduledRequest]:
        running = [self._running] if self._running is not None else []
        return [job for job in (*running, *self._queue.values()) if not job.cancel.is_set()]

    def _remove(self, is_meant: Callable[[ScheduledRequest], bool]) -> list[ScheduledRequest]:
        with self._changed:
            jobs = [job for job in self._unsettled() if is_meant(job)]
            for job in jobs:
                if self._queue.get(job.key) is job:
                    del self._queue[job.key]
            return jobs

    def _give_up(self, jobs: Sequence[ScheduledRequest]) -> None:
        for job in jobs:
            job.cancel.set()
            job.settle(None)
        with self._changed:  # the worker may be waiting for an engine on behalf of one of them
            self._changed.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            is_answered = not self._is_loaded and self._serve(job, is_early=True)
            if not is_answered and self._wait_until_loaded(job):
                self._serve(job)
            with self._changed:
                self._running = None

    def _next(self) -> ScheduledRequest | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_stopped)
            if self._is_stopped:
                return None
            self._running = self._queue.pop(next(iter(self._queue)))
            if self._queue:
                self._running.cancel.hurry()
            return self._running

    def _wait_until_loaded(self, job: ScheduledRequest) -> bool:
        """Wait at most until the job's deadline; say whether it is wanted still."""
        rest_s = job.received_s + job.request.deadline_ms / 1000 - time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._is_loaded or job.cancel.is_set(), max(0.0, rest_s))
        return not job.cancel.is_set()

    def _serve(self, job: ScheduledRequest, *, is_early: bool = False) -> bool:
        """Answer with what the engine has, early only if that is something; say whether it did."""
        completions: Sequence[Completion] = ()
        try:
            if self._engine is not None and (self._is_loaded or is_early):
                completions = self._engine.complete(job.request, job.cancel)
        except Exception as error:  # noqa: BLE001  the border: an editor gets silence, not a fault
            log.warning("no suggestion: %s", describe(error))
            if not is_early:  # the loaded engine may do better
                self._on_error(error)
        if is_early and not completions:
            return False
        is_wanted = job.settle(completions)
        log.debug(
            "request answered: %d suggestions%s, %.1f ms after it came",
            len(completions),
            "" if is_wanted else " (not wanted any more)",
            1_000 * (time.monotonic() - job.received_s),
        )
        return True
