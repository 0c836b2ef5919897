"""The guard at the door: makes up each request, and lets none out that is not written down.

Joins consent, file policy, redaction, key, budget, circuit breaker and ledger for the transport, on
whose threads it works. The policy decides when to ask; the guard, whether it may leave.
"""

import logging
import threading

from assistant.remote.errors import RemoteError, withheld
from assistant.remote.file_policy import FilePolicy
from assistant.remote.formats import FORMATS
from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.limits import Breaker, Budget
from assistant.remote.payload import build_payload, is_single_line
from assistant.remote.settings import RemoteSettings, key_of

log = logging.getLogger(__name__)


class RequestGuard:
    """Prepares, allows and records what goes to one server."""

    def __init__(
        self, settings: RemoteSettings, files: FilePolicy, ledger: Ledger, breaker: Breaker
    ) -> None:
        self._settings = settings
        self._files = files
        self._ledger = ledger
        self._breaker = breaker
        self._budget = Budget(settings, ledger)
        self._lock = threading.Lock()
        self.fault = ""  # the server's last one; "" since it worked again
        self.obstacle = ""  # why nothing at all is sent, whatever the file; "" while it is

    def prepare(self, inflight: InflightRequest) -> None:
        """Make up the request; RemoteError (withheld) says why it may not leave. May take long."""
        request, settings = inflight.request, self._settings
        with self._lock:  # one at a time: a keyring may ask its owner
            if not settings.is_consented:
                raise withheld(f"remote.toml does not say send_code_to = {settings.host!r}")
            self._files.check(request.path, request.language, request.document)
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
        if not self._breaker.enter():
            raise withheld("the server failed too often; it is left alone for a while")
        payload, n_bytes = inflight.payload, len(inflight.payload.body)
        inflight.ledger_id = self._ledger.new_id()
        row = {
            "id": inflight.ledger_id,
            "provider": self._settings.provider,
            "host": self._settings.host,
            "model": self._settings.model,
            "file": inflight.request.path,
            "ranges": payload.ranges,
            "bytes_sent": n_bytes,
            "redactions": payload.redactions,
            "cost": self._budget.estimate(n_bytes),  # at most; the outcome's takes its place
        }
        try:
            self._budget.take(n_bytes)
            self._ledger.append("sent", row)
        except RemoteError as error:
            self._breaker.give_up()
            self.obstacle = str(error)
            raise
        self.obstacle = ""

    def record(self, inflight: InflightRequest, error: RemoteError | None, seconds: float) -> None:
        """Write down what came of an attempt that was allowed."""
        if error is None:
            self._breaker.succeed()
            self.fault = ""
        elif error.is_fault:
            self._breaker.fail(error.retry_after_s)
            if self.fault != str(error):  # said once, not at each key
                log.warning("remote: %s", error)
            self.fault = str(error)
        else:
            self._breaker.give_up()
        n_bytes = len(inflight.payload.body) if inflight.payload is not None else 0
        row = {
            "id": inflight.ledger_id,
            "outcome": "ok" if error is None else error.kind,
            "bytes_sent": n_bytes if inflight.has_sent else 0,
            "bytes_received": inflight.bytes_received,
            "latency_ms": round(1_000 * seconds, 1),
            "prompt_tokens": inflight.prompt_tokens,
            "new_tokens": inflight.new_tokens,
            "cost": self._cost(inflight, error, n_bytes),
        }
        self._ledger.append("ended", row)

    def _cost(self, inflight: InflightRequest, error: RemoteError | None, n_bytes: int) -> float:
        if inflight.prompt_tokens is not None and inflight.new_tokens is not None:
            return self._budget.cost(inflight.prompt_tokens, inflight.new_tokens)
        if not inflight.has_sent or (error is not None and error.kind in ("busy", "refused")):
            return 0.0
        return self._budget.estimate(n_bytes)


def build_headers(settings: RemoteSettings, key: str) -> dict[str, str]:
    """Return all that a request says besides its body; no version, no machine, no user."""
    headers = {
        "accept": FORMATS[settings.provider].stream_type,
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "foretype",
    }
    return headers | ({"authorization": f"Bearer {key}"} if key else {})
