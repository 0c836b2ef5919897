"""Runs completion requests on one worker thread: the newest of each document, nothing stale.

A request that is superseded, outdated by an edit or cancelled is answered at once, on the thread
that says so; its `Cancel` stops the engine within a token, and what the engine still returns for
it is dropped. Waits for an engine that is still loading, up to the request's deadline.
Knows neither messages nor documents.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from assistant.cancel import Cancel
from assistant.completion import Completion, CompletionRequest
from assistant.config import Settings
from lsp.jsonrpc import REQUEST_CANCELLED, MessageId, Reply

log = logging.getLogger(__name__)


class Completer(Protocol):
    """What is needed of the engine."""

    settings: Settings  # read anew for each request

    def load(self) -> None:
        """Make ready to complete; may take seconds."""

    def complete(self, request: CompletionRequest, cancel: Cancel) -> Sequence[Completion]:
        """Return suggestions, best first."""


@dataclass(eq=False, kw_only=True, slots=True)
class Job:
    """One request under way; at most one per `key`."""

    key: Hashable
    uri: str
    request: CompletionRequest
    reply: Reply
    render: Callable[[Sequence[Completion]], Any]  # suggestions to the reply's result
    cancel: Cancel = field(default_factory=Cancel)
    received_s: float = field(default_factory=time.monotonic)


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
        self._engine: Completer | None = None
        self._is_hopeless = False  # no engine will come
        self._is_stopped = False
        self._queue: dict[Hashable, Job] = {}  # in order of arrival
        self._running: Job | None = None
        self._thread: threading.Thread | None = None
        self.n_answered = 0

    def configure(self, settings: Settings) -> None:
        """Complete by `settings` from the next request on."""
        if self._engine is not None:
            self._engine.settings = settings

    def use(self, engine: Completer | None) -> None:
        """Complete with `engine` from now on; None says that there will be none."""
        with self._changed:
            self._engine = engine
            self._is_hopeless = engine is None
            self._changed.notify_all()

    def submit(self, job: Job) -> None:
        """Take `job`; an older one with its key is answered null."""
        with self._changed:
            older = [other for other in self._unanswered() if other.key == job.key]
            self._queue.pop(job.key, None)
            self._queue[job.key] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="completion", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        self._answer_null(older)

    def outdate(self, uri: str) -> None:
        """Answer null to what was asked about an earlier version of document `uri`."""
        self._answer_null(self._remove(lambda job: job.uri == uri))

    def cancel(self, message_id: MessageId) -> None:
        """Stop the request with this id, if it is under way."""
        for job in self._remove(lambda job: job.reply.message_id == message_id):
            job.cancel.set()
            job.reply.error(REQUEST_CANCELLED, "cancelled")

    def stop(self, timeout_s: float) -> None:
        """Answer everything null and end the worker, waiting at most `timeout_s` for its token."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._answer_null(self._remove(lambda _: True))
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _unanswered(self) -> list[Job]:
        running = [self._running] if self._running is not None else []
        return [job for job in (*running, *self._queue.values()) if not job.reply.is_sent]

    def _remove(self, is_meant: Callable[[Job], bool]) -> list[Job]:
        with self._changed:
            jobs = [job for job in self._unanswered() if is_meant(job)]
            for job in jobs:
                if self._queue.get(job.key) is job:
                    del self._queue[job.key]
            return jobs

    def _answer_null(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.cancel.set()
            job.reply.result(None)
        with self._changed:  # the worker may be waiting for an engine on behalf of one of them
            self._changed.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            engine = self._engine_for(job)
            if not job.cancel.is_set():
                self._serve(job, engine)
            with self._changed:
                self._running = None

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_stopped)
            if self._is_stopped:
                return None
            self._running = self._queue.pop(next(iter(self._queue)))
            return self._running

    def _engine_for(self, job: Job) -> Completer | None:
        """Wait for the engine until the job's deadline."""
        rest_s = job.received_s + job.request.deadline_ms / 1000 - time.monotonic()
        with self._changed:
            self._changed.wait_for(
                lambda: self._engine or self._is_hopeless or job.cancel.is_set(), max(0.0, rest_s)
            )
            return self._engine

    def _serve(self, job: Job, engine: Completer | None) -> None:
        completions: Sequence[Completion] = ()
        result: Any
        try:
            if engine is not None:
                completions = engine.complete(job.request, job.cancel)
            result = job.render(completions)
        except Exception as error:  # noqa: BLE001  the border: an editor gets silence, not a fault
            log.warning("no suggestion: %s", describe(error))
            self._on_error(error)
            completions, result = (), job.render(())
        is_wanted = job.reply.result(result)
        self.n_answered += is_wanted
        _log_answer(job, completions, is_wanted)


def _log_answer(job: Job, completions: Sequence[Completion], is_wanted: bool) -> None:
    log.debug(
        "request answered: %d suggestions%s, %.1f ms after it came",
        len(completions),
        "" if is_wanted else " (not wanted any more)",
        1_000 * (time.monotonic() - job.received_s),
    )
