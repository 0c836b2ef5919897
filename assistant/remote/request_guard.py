"""The clerk at the door: makes up each request, and lets none out that is not written down.

Joins reach, redaction, key, budget, circuit breaker and ledger for the transport, on whose threads
it works. The policy decides when to ask; the clerk, whether it may leave.
"""

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

from assistant.remote.backend import Backend
from assistant.remote.errors import RemoteError, WithheldError
from assistant.remote.file_policy import Reach
from assistant.remote.inflight import Call, Flight
from assistant.remote.ledger import Ended, Ledger, Sent
from assistant.remote.limits import Breaker, Budget
from assistant.remote.payload import Parcel, pack
from assistant.remote.settings import RemoteSettings, key_of
from assistant.request import CompletionRequest
from assistant.source import syntax
from assistant.source.languages import language_of

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Errand:
    """One question of one request; its parcel is made on the way out."""

    request: CompletionRequest
    blocks: bool  # several lines are wanted where the cursor opens a block
    single_line: bool = True  # whether one is wanted here, once that has been looked at
    parcel: Parcel | None = None
    row: str = ""  # of the ledger


class Clerk:
    """A Watcher of the transport."""

    def __init__(
        self,
        settings: RemoteSettings,
        backend: Backend,
        reach: Reach,
        ledger: Ledger,
        breaker: Breaker,
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._reach = reach
        self._ledger = ledger
        self._breaker = breaker
        self._budget = Budget(settings, ledger)
        self._lock = threading.Lock()
        self._errands: OrderedDict[int, Errand] = OrderedDict()
        self.last_problem = ""  # for the editor's status
        self.fault = ""  # the server's last one; "" since it worked again
        self.obstacle = ""  # why nothing at all is sent, whatever the file; "" while it is

    def follow(self, flight: Flight, errand: Errand) -> None:
        """Know whose question a flight is."""
        with self._lock:
            self._errands[id(flight)] = errand

    def forget(self, flight: Flight) -> None:
        """It is over."""
        with self._lock:
            self._errands.pop(id(flight), None)

    def prepare(self, errand: Errand) -> Call:
        """Make up the request; on the desk's thread."""
        try:
            self._check_consent()
            self._reach.check(errand.request.path, errand.request.language)
            key = self._key()  # last: a keyring may ask its owner
            errand.single_line = is_single_line(errand.request, blocks=errand.blocks)
            errand.parcel = pack(
                errand.request, self._settings, self._backend, single_line=errand.single_line
            )
        except WithheldError as error:
            self.last_problem = str(error)
            raise
        return Call(
            url=self._settings.address + self._backend.path,
            headers=headers(self._backend, key),
            body=errand.parcel.body,
            single_line=errand.single_line,
        )

    def _key(self) -> str:
        try:
            return key_of(self._settings)
        except WithheldError as error:
            self.obstacle = str(error)
            raise

    def _check_consent(self) -> None:
        if not self._settings.is_consented:
            raise WithheldError(f"remote.toml does not say send_code_to = {self._settings.host!r}")

    def sending(self, flight: Flight) -> None:
        """Write down what is about to leave, or forbid it."""
        with self._lock:
            errand = self._errands.get(id(flight))
        if errand is None or errand.parcel is None:
            raise WithheldError("nobody asked for this")
        if not self._breaker.enter():
            raise WithheldError("the server failed too often; it is left alone for a while")
        try:
            n_bytes = len(errand.parcel.body)
            self._budget.take(n_bytes)
            errand.row = self._ledger.new_id()
            self._ledger.sent(self._row(errand, errand.parcel))
        except WithheldError as error:
            self._breaker.gave_up()
            self.last_problem = self.obstacle = str(error)
            raise
        self.obstacle = ""

    def _row(self, errand: Errand, parcel: Parcel) -> Sent:
        return Sent(
            id=errand.row,
            time=self._ledger.timestamp(),
            provider=self._settings.provider,
            host=self._settings.host,
            model=self._settings.model,
            file=errand.request.path,
            ranges=parcel.ranges,
            bytes_sent=len(parcel.body),
            redactions=parcel.redactions,
            cost=self._budget.estimate(len(parcel.body)),
        )

    def sent(self, flight: Flight, error: RemoteError | None, seconds: float) -> None:
        """Write down what came of it."""
        if error is None:
            self._breaker.succeeded()
            self.last_problem = self.fault = ""
        elif error.is_fault:
            self._breaker.failed(error.retry_after_s)
            if self.fault != str(error):  # said once, not at each key
                log.warning("remote: %s", error)
            self.last_problem = self.fault = str(error)
        else:
            self._breaker.gave_up()
        with self._lock:
            errand = self._errands.get(id(flight))
        if errand is None or errand.parcel is None:
            return
        is_counted = flight.prompt_tokens is not None and flight.new_tokens is not None
        cost = self._budget.estimate(len(errand.parcel.body))
        if is_counted:
            cost = self._budget.cost(flight.prompt_tokens or 0, flight.new_tokens or 0)
        elif not flight.has_sent or (error is not None and error.kind in ("busy", "refused")):
            cost = 0.0
        self._ledger.ended(
            Ended(
                id=errand.row,
                outcome="ok" if error is None else error.kind,
                bytes_sent=len(errand.parcel.body) if flight.has_sent else 0,
                bytes_received=flight.bytes_received,
                latency_ms=round(1_000 * seconds, 1),
                prompt_tokens=flight.prompt_tokens,
                new_tokens=flight.new_tokens,
                cost=cost,
            )
        )


def is_single_line(request: CompletionRequest, *, blocks: bool) -> bool:
    """Say whether the rest of the line is wanted, and no more."""
    language = language_of(request.path, request.language)
    return not (blocks and syntax.opens_block(request.text, request.offset, language))


def headers(backend: Backend, key: str) -> dict[str, str]:
    """Return all that a request says besides its body; no version, no machine, no user."""
    accept = "text/event-stream" if backend.framing == "sse" else "application/x-ndjson"
    told = {
        "accept": accept,
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "foretype",
    }
    return told | ({"authorization": f"Bearer {key}"} if key else {})
