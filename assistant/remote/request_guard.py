"""The guard at the door: makes up each request, and lets none out that is not written down.

Joins consent, file policy, redaction, key, budget, circuit breaker and ledger for the transport, on
whose threads it works. The policy decides when to ask; the guard, whether it may leave. Durations
are by a monotonic clock.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from assistant.remote.errors import RemoteError, withheld
from assistant.remote.file_policy import FilePolicy
from assistant.remote.formats import FORMATS
from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.payload import build_payload, is_single_line
from assistant.remote.settings import RemoteSettings, key_of

log = logging.getLogger(__name__)

THRESHOLD = 3  # failures in a row
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 300.0
_CHARS_PER_TOKEN = 2.5  # of code; low, so that an estimate is rather too dear
_MINUTE_S = 60.0


class Breaker:
    """Leaves a failing server alone, longer each time, then lets one request through to probe it.

    Whoever enters and reports has a lock; others only look.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._n_failures = self._n_pauses = 0
        self._opened_until: float | None = None
        self._is_probing = False

    @property
    def is_closed(self) -> bool:
        """Whether the server works, as far as is known."""
        return self._opened_until is None

    @property
    def wait_s(self) -> float:
        """How long the server is still left alone."""
        until = self._opened_until
        return 0.0 if until is None else max(0.0, until - self._clock())

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
            self._opened_until = None
            return
        if error.kind in ("stopped", "withheld"):  # a reason of ours, which tells nothing
            return
        self._n_failures += 1
        pause_s = error.retry_after_s
        if pause_s is None:
            if self._n_failures < THRESHOLD and not was_probe:
                return
            pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._n_pauses, 10))
        self._n_pauses += 1
        self._opened_until = self._clock() + pause_s


class Budget:
    """Requests a minute of this process; bytes and money a day of all, as the ledger says."""

    def __init__(
        self,
        settings: RemoteSettings,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._times: deque[float] = deque(maxlen=settings.requests_per_minute)

    def estimate(self, n_bytes: int) -> float:
        """Return what a request of so many bytes may cost at most."""
        return self.cost(round(n_bytes / _CHARS_PER_TOKEN), self._settings.max_new_tokens)

    def cost(self, prompt_tokens: int, new_tokens: int) -> float:
        """Return what so many tokens cost."""
        settings = self._settings
        return (prompt_tokens * settings.price_in + new_tokens * settings.price_out) / 1e6

    def take(self, n_bytes: int) -> None:
        """Count an attempt of `n_bytes` in; RemoteError (withheld) if it would be too much."""
        settings, now, today = self._settings, self._clock(), self._ledger.today()
        if len(self._times) == self._times.maxlen and now - self._times[0] < _MINUTE_S:
            raise withheld(f"{settings.requests_per_minute} requests a minute are used up")
        if today["bytes_sent"] + n_bytes > settings.bytes_per_day:
            raise withheld(f"{settings.bytes_per_day} bytes a day are used up")
        cost = today["cost"] + self.estimate(n_bytes)
        if settings.money_per_day and cost > settings.money_per_day:
            raise withheld(f"{settings.money_per_day:g} of money a day are used up")
        self._times.append(now)


class RequestGuard:
    """Prepares, allows and records what goes to one server."""

    def __init__(self, settings: RemoteSettings, files: FilePolicy, ledger: Ledger) -> None:
        self._settings = settings
        self._files = files
        self._ledger = ledger
        self.breaker = Breaker()
        self._budget = Budget(settings, ledger)
        self._asking = threading.Lock()  # a keyring may ask its owner: one at a time
        self._booking = threading.Lock()
        self.fault = ""  # the server's last one; "" since it worked again
        self.obstacle = ""  # why nothing at all is sent, whatever the file; "" while it is

    def prepare(self, inflight: InflightRequest) -> None:
        """Make up the request; RemoteError (withheld) says why it may not leave. May take long."""
        request, settings = inflight.request, self._settings
        with self._asking:
            if not settings.is_consented:
                raise withheld(f"remote.toml does not say send_code_to = {settings.host!r}")
            self._files.check(request)
            try:
                key = key_of(settings)
            except RemoteError as error:
                self.obstacle = str(error)
                raise
            inflight.headers = build_headers(settings, key)
            inflight.single_line = is_single_line(request, blocks=inflight.blocks)
            inflight.payload = build_payload(request, settings, single_line=inflight.single_line)

    def allow(self, inflight: InflightRequest) -> None:
        """Write down what is about to leave; RemoteError (withheld) if it must not."""
        assert inflight.payload is not None, "prepared before it is sent"
        n_bytes = len(inflight.payload.body)
        row = {
            "provider": self._settings.provider,
            "host": self._settings.host,
            "model": self._settings.model,
            "file": inflight.request.path,
            "ranges": inflight.payload.ranges,
            "bytes_sent": n_bytes,
            "redactions": inflight.payload.redactions,
            "cost": self._budget.estimate(n_bytes),  # at most; the outcome's takes its place
        }
        with self._booking:
            if not self.breaker.enter():
                raise withheld("the server failed too often; it is left alone for a while")
            try:
                self._budget.take(n_bytes)
                inflight.ledger_id = self._ledger.begin(row)
            except RemoteError as error:
                self.breaker.report(error)
                self.obstacle = str(error)
                raise
            self.obstacle = ""

    def record(self, inflight: InflightRequest, error: RemoteError | None, seconds: float) -> None:
        """Write down what came of an attempt that was allowed."""
        assert inflight.payload is not None, "prepared before it is sent"
        n_bytes = len(inflight.payload.body)
        prompt_tokens, new_tokens = inflight.prompt_tokens, inflight.new_tokens
        if prompt_tokens is not None and new_tokens is not None:
            cost = self._budget.cost(prompt_tokens, new_tokens)
        elif not inflight.has_sent or (error is not None and error.kind in ("busy", "refused")):
            cost = 0.0
        else:
            cost = self._budget.estimate(n_bytes)
        row = {
            "outcome": "ok" if error is None else error.kind,
            "bytes_sent": n_bytes if inflight.has_sent else 0,
            "bytes_received": inflight.bytes_received,
            "latency_ms": round(1_000 * seconds, 1),
            "prompt_tokens": prompt_tokens,
            "new_tokens": new_tokens,
            "cost": cost,
        }
        with self._booking:
            self.breaker.report(error)
            if error is None or error.kind not in ("stopped", "withheld"):
                fault = "" if error is None else str(error)
                if fault not in ("", self.fault):  # said once, not at each key
                    log.warning("remote: %s", fault)
                self.fault = fault
            self._ledger.end(inflight.ledger_id, row)


def build_headers(settings: RemoteSettings, key: str) -> dict[str, str]:
    """Return all that a request says besides its body; no version, no machine, no user."""
    headers = {
        "accept": FORMATS[settings.provider].stream_type,
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "foretype",
    }
    return headers | ({"authorization": f"Bearer {key}"} if key else {})
