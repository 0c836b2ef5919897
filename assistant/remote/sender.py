"""Requests on their way: each is made up, written down, sent and followed on a thread of its own.

What may leave is decided here, by consent, file policy, redaction, key, budget, breaker and ledger;
when to ask is the policy's. A request that nobody wants any more is hung up on: the socket is shut
down under its thread, and its connection thrown away. Only one whose answer came to its end serves
again. No exit of ours waits for these threads: a resolver may be dead.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from assistant.errors import RemoteError, withheld
from assistant.remote.connection import Connection, find_route
from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.payload import FilePolicy, build_headers, build_payload
from assistant.remote.settings import RemoteSettings, read_key

MAX_INFLIGHT = 4
CLOSE_S = 2.0
THRESHOLD = 3  # failures in a row, after which the server is left alone
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 300.0

log = logging.getLogger(__name__)


class Breaker:
    """Leaves a failing server alone, longer each time, then lets one request through to probe it.

    Whoever enters and reports has a lock; others only look.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._n_failures = self._n_pauses = 0
        self._opened_until = 0.0
        self._is_probing = False

    @property
    def is_closed(self) -> bool:
        """Whether the server works, as far as is known."""
        return not self._n_pauses

    @property
    def wait_s(self) -> float:
        """How long the server is still left alone."""
        return max(0.0, self._opened_until - self._clock())

    def may_pass(self) -> bool:
        """Say whether a request would be let through now."""
        return self.wait_s == 0 and not self._is_probing

    def enter(self) -> bool:
        """Let one request through, or not; the outcome of one that is must be reported."""
        if not self.may_pass():
            return False
        self._is_probing = not self.is_closed
        return True

    def report(self, error: RemoteError | None) -> None:
        """Take in an outcome."""
        was_probe, self._is_probing = self._is_probing, False
        if error is None:
            self._n_failures = self._n_pauses = 0
            self._opened_until = 0.0
            return
        if error.is_ours:  # which tells nothing of the server
            return
        self._n_failures += 1
        pause_s = error.retry_after_s
        if pause_s is None:
            if self._n_failures < THRESHOLD and not was_probe:
                return
            pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._n_pauses, 10))
        self._n_pauses += 1
        self._opened_until = self._clock() + pause_s


class Sender:
    """Sends to one server, for any thread."""

    def __init__(self, settings: RemoteSettings, files: FilePolicy, ledger: Ledger) -> None:
        self.files = files
        self.breaker = Breaker()
        self.fault = ""  # the server's last one; "" since it worked again
        self.obstacle = ""  # why nothing at all is sent, whatever the file; "" while it is
        self._settings = settings
        self._ledger = ledger
        self._times: deque[float] = deque(maxlen=settings.requests_per_minute)  # of requests
        self._preparing = threading.Lock()  # a keyring may ask its owner: one at a time
        self._booking = threading.Lock()
        self._lock = threading.Lock()  # for what follows
        self._is_closed = False
        self._inflight: dict[InflightRequest, threading.Thread] = {}
        self._idle: list[Connection] = []

    def start(self, inflight: InflightRequest) -> bool:
        """Prepare and send; False if too many are under way."""
        thread = threading.Thread(target=self._own, args=(inflight,), name="remote", daemon=True)
        with self._lock:
            if self._is_closed or len(self._inflight) >= MAX_INFLIGHT:
                return False
            inflight.started_s = time.monotonic()
            self._inflight[inflight] = thread
            thread.start()
        return True

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
        error: RemoteError | None
        try:
            self._prepare(inflight)
            inflight.check()
            row, started_s = self._book(inflight), time.monotonic()
            error = self._ask(inflight)
            self._record(row, inflight, error, started_s)
        except RemoteError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001  a fault of ours must not leave a waiter behind
            log.warning("remote: %s in our own code", type(problem).__name__)
            error = RemoteError("failed", f"{type(problem).__name__} in our own code")
        timer.cancel()
        inflight.finish(error)
        with self._lock:
            del self._inflight[inflight]

    def _prepare(self, inflight: InflightRequest) -> None:
        """Make up the request; RemoteError (withheld) says why it may not leave. May take long."""
        request, settings = inflight.request, self._settings
        with self._preparing:
            if not settings.is_consented:
                raise withheld(f"remote.toml does not say send_code_to = {settings.host!r}")
            self.files.check(request)
            try:
                inflight.headers = build_headers(settings, read_key(settings))
                find_route(settings)
            except RemoteError as error:
                self.obstacle = str(error)
                raise
            single_line = inflight.single_line
            inflight.payload = build_payload(request, settings, single_line=single_line)

    def _book(self, inflight: InflightRequest) -> int:
        """Write down what is about to leave; RemoteError (withheld) if it must not."""
        settings, payload = self._settings, inflight.payload
        row = {
            "provider": settings.provider,
            "host": settings.host,
            "model": settings.model,
            "file": inflight.request.path,
            "ranges": payload.ranges,
            "bytes_sent": len(payload.body),
            "redactions": payload.redactions,
        }
        with self._booking:
            if not self.breaker.enter():
                raise withheld("the server failed too often; it is left alone for a while")
            try:
                self._spend(len(payload.body))
                number = self._ledger.begin(row)
            except RemoteError as error:
                self.breaker.report(error)
                self.obstacle = str(error)
                raise
            self.obstacle = ""
        return number

    def _spend(self, n_bytes: int) -> None:
        """Count an attempt in; RemoteError (withheld) if it would be too much.

        Requests a minute are of this process, bytes a day of all, as the ledger says.
        """
        settings, times, now = self._settings, self._times, time.monotonic()
        if len(times) == times.maxlen and now - times[0] < 60:
            raise withheld(f"{settings.requests_per_minute} requests a minute are used up")
        if self._ledger.today()["bytes_sent"] + n_bytes > settings.bytes_per_day:
            raise withheld(f"{settings.bytes_per_day} bytes a day are used up")
        times.append(now)

    def _ask(self, inflight: InflightRequest) -> RemoteError | None:
        connection = None
        try:
            connection = self._take_connection()
            inflight.hold(connection.hang_up)
            connection.ask(inflight)
        except RemoteError as error:
            return error
        finally:
            inflight.hold()
            if connection is not None and connection.is_usable and inflight.halted is None:
                self._idle.append(connection)
            elif connection is not None:
                connection.close()
        return None

    def _take_connection(self) -> Connection:
        try:
            while not (connection := self._idle.pop()).is_usable:
                connection.close()
        except IndexError:
            return Connection(self._settings)
        return connection

    def _record(
        self, row: int, inflight: InflightRequest, error: RemoteError | None, started_s: float
    ) -> None:
        """Write down what came of an attempt."""
        outcome = {
            "outcome": "ok" if error is None else error.kind,
            "bytes_sent": len(inflight.payload.body) if inflight.has_sent else 0,
            "bytes_received": inflight.bytes_received,
            "latency_ms": round(1_000 * (time.monotonic() - started_s), 1),
            "prompt_tokens": inflight.prompt_tokens,
            "new_tokens": inflight.new_tokens,
        }
        with self._booking:
            self.breaker.report(error)
            if error is None or not error.is_ours:
                fault = "" if error is None else str(error)
                if fault not in ("", self.fault):  # said once, not at each key
                    log.warning("remote: %s", fault)
                self.fault = fault
            self._ledger.end(row, outcome)
