"""When to ask a server: one call before the local answer, one after, neither of which holds it up.

fallback: when the local answer is missing or unsure. race: at once, beside it. only: instead of it.
A local answer that is worth showing is never kept waiting: the server's then serves the next
keystroke. Works on the engine's thread; everything slow happens behind the transport.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass

from assistant.cancel import Cancel
from assistant.remote.answers import Beliefs, LateAnswers, RemoteText, probability, typed_since
from assistant.remote.errors import BusyError, WithheldError
from assistant.remote.file_policy import Locate, Reach
from assistant.remote.formats import backend_of
from assistant.remote.inflight import Flight, Plan
from assistant.remote.ledger import Ledger
from assistant.remote.limits import Breaker
from assistant.remote.payload import unpack
from assistant.remote.request_guard import Clerk, Errand
from assistant.remote.settings import RemoteSettings
from assistant.remote.transport import CLOSE_S, Transport
from assistant.request import CompletionRequest
from assistant.source import stopping
from assistant.source.languages import language_of
from model.paths import state_folder

log = logging.getLogger(__name__)

REPLY_S = 0.02  # before the deadline, for the way back to the editor
_CONTEXT_CHARS = 8_000  # around the cursor, for deciding where a suggestion ends


@dataclass(kw_only=True, slots=True)
class Ticket:
    """What `before` knows of a request, for `after`."""

    request: CompletionRequest
    blocks: bool  # several lines are wanted where the cursor opens a block
    errand: Errand | None = None
    flight: Flight | None = None
    kept: RemoteText | None = None


class Remote:
    """The remote side of one engine."""

    def __init__(
        self,
        settings: RemoteSettings,
        locate: Locate,
        *,
        exclude: tuple[str, ...] = (),
        ledger: Ledger | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.settings = settings
        self._backend = backend_of(settings)
        self._reach = Reach(settings, locate, exclude=exclude)
        self._breaker = breaker or Breaker()
        self._clerk = Clerk(
            settings, self._backend, self._reach, ledger or Ledger(state_folder()), self._breaker
        )
        self._transport = Transport(settings, self._clerk)
        self._lock = threading.Lock()
        self._late = LateAnswers()
        self._flying: dict[str, tuple[Flight, Errand]] = {}  # the newest of each document

    @property
    def replaces_local(self) -> bool:
        """Whether the local model is not to be asked at all."""
        return self.settings.mode == "only"

    @property
    def complaint(self) -> str:
        """What the user must do before anything is sent; empty if nothing."""
        if self.settings.is_consented:
            return ""
        return (
            "remote.toml names a server, but nothing is sent to it until it also says: "
            f'send_code_to = "{self.settings.host}"'
        )

    def status(self) -> dict[str, object]:
        """Return the state for an editor's status line: ready, degraded or needs consent.

        `problem` says why, and when the server is asked again; `said` is both in one line.
        """
        state, problem = "ready", self._clerk.last_problem
        if self.complaint:
            state, problem = "needs consent", self.complaint
        elif self._breaker.state != "closed":
            wait_s = math.ceil(self._breaker.wait_s)
            again = f"in {wait_s} s" if wait_s else "with the next suggestion"
            state, problem = "degraded", f"{self._clerk.fault}; next try {again}"
        elif self._clerk.obstacle:
            state, problem = "degraded", self._clerk.obstacle
        return {
            "mode": self.settings.mode,
            "host": self.settings.host,
            "state": state,
            "problem": problem,
            "said": state if state == "ready" else f"{state}: {problem}",
        }

    def warm_up(self) -> None:
        """Make ready in the background."""
        if self.settings.is_consented:
            self._transport.warm_up()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop what is under way, waiting at most `timeout_s` for it."""
        self._transport.close(timeout_s)

    def before(self, request: CompletionRequest, *, blocks: bool) -> Ticket | None:
        """Begin with a request; None if the server has nothing to do with it.

        `blocks`: several lines may be wanted where the cursor opens a block.
        """
        if not self._concerns(request):
            return None
        ticket = Ticket(request=request, blocks=blocks)
        with self._lock:
            ticket.kept = self._late.get(request)
        if ticket.kept is None:
            self._adopt(ticket)
            if ticket.flight is None and self.settings.mode in ("race", "only"):
                self._ask(ticket)
        return ticket

    def after(
        self,
        ticket: Ticket | None,
        *,
        confidence: float | None,
        deadline: float,
        cancel: Cancel,
    ) -> RemoteText | None:
        """Return a better text than the local one, if there is one.

        `confidence` is the probability of the local answer that would be shown, None without one.
        Without one this waits for the server: until shortly before `deadline` (monotonic), or as
        long as the setting `wait_ms` allows. Nothing is kept from the user by that, and a newer
        key or another document's request ends it.
        """
        if ticket is None:
            return None
        if confidence is not None and confidence >= self.settings.min_confidence:
            self._leave(ticket)
            return None
        if ticket.kept is not None:
            return ticket.kept
        if ticket.flight is None:
            self._ask(ticket)
        flight = ticket.flight
        if flight is None:
            return None
        if confidence is None:
            wait_s = self.settings.wait_ms / 1_000
            flight.wait(min(deadline - REPLY_S, time.monotonic() + wait_s), cancel)
        if flight.is_whole and ticket.errand is not None:
            return self._answer(flight, ticket.errand, ticket.request)
        if self.settings.late == "drop":
            flight.stop()
        return None

    def weigh(
        self, found: RemoteText, text: str, request: CompletionRequest, beliefs: Beliefs
    ) -> float:
        """Return the probability that `text`, what the rules left of a server's, is right.

        `beliefs` are the local proposals with their probabilities.
        """
        return probability(found, text, request, beliefs, trust=self.settings.trust)

    def _concerns(self, request: CompletionRequest) -> bool:
        """Say whether this request may go to the server, by all that can be told at once."""
        if self.complaint or not self._breaker.may_pass():
            return False
        try:
            self._reach.check_name(request.path, request.language)
        except WithheldError:
            return False
        return True

    def _adopt(self, ticket: Ticket) -> None:
        """Take over an earlier question that this request still fits; stop it if it does not."""
        with self._lock:
            flight, errand = self._flying.get(ticket.request.path, (None, None))
        if flight is None or errand is None or flight.is_hopeless:
            return
        typed = typed_since(errand.request, ticket.request)
        is_past = typed is None or ("\n" in typed and errand.single_line)
        if is_past or not flight.text.startswith((typed or "")[: len(flight.text)]):
            flight.stop()
            return
        ticket.flight, ticket.errand = flight, errand

    def _ask(self, ticket: Ticket) -> None:
        errand = Errand(request=ticket.request, blocks=ticket.blocks)
        plan = Plan(
            prepare=lambda: self._clerk.prepare(errand),
            backend=self._backend,
            total_s=self.settings.total_s,
        )
        try:
            flight = self._transport.start(plan, lambda made: self._clerk.follow(made, errand))
        except BusyError:
            return
        with self._lock:
            self._flying[ticket.request.path] = (flight, errand)
        flight.on_over(lambda over: self._landed(over, errand))
        ticket.flight, ticket.errand = flight, errand

    def _landed(self, flight: Flight, errand: Errand) -> None:
        """Keep what may serve a later keystroke; on the transport's thread."""
        self._clerk.forget(flight)
        log.debug("remote: %s", flight.error.kind if flight.error else "ok")
        answer = None
        if flight.is_whole and self.settings.late == "keep":
            answer = self._checked(flight, errand)
        with self._lock:
            if self._flying.get(errand.request.path, (None,))[0] is flight:
                del self._flying[errand.request.path]
            if answer is not None:
                self._late.put(errand.request, answer)

    def _checked(self, flight: Flight, errand: Errand) -> RemoteText | None:
        if errand.parcel is None:
            return None
        try:
            text = unpack(flight.text, errand.parcel, errand.request)
        except WithheldError as error:
            log.info("remote: not shown: %s", error)
            return None
        request = errand.request
        stopped = stopping.stop(
            language_of(request.path, request.language),
            request.text[max(0, request.offset - _CONTEXT_CHARS) : request.offset],
            request.text[request.offset : request.offset + _CONTEXT_CHARS],
            iter([text]),
            not errand.single_line,
        )
        reason = flight.finish_reason if stopped.text == text else stopped.finish_reason
        return RemoteText(
            text=stopped.text,
            finish_reason=reason,
            single_line=errand.single_line,
            prompt_tokens=flight.prompt_tokens or 0,
            new_tokens=flight.new_tokens or 0,
            marks=flight.marks if text == flight.text else flight.marks[-1:],
        )

    def _answer(
        self, flight: Flight, errand: Errand, request: CompletionRequest
    ) -> RemoteText | None:
        """Return what is left of a whole answer at the cursor of `request`."""
        answer = self._checked(flight, errand)
        if answer is None:
            return None
        late = LateAnswers()
        late.put(errand.request, answer)
        return late.get(request)

    def _leave(self, ticket: Ticket) -> None:
        """The local answer is enough: do not pay for the rest of the other."""
        if ticket.flight is not None:
            ticket.flight.stop()
