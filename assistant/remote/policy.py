"""When to ask a server: one call before the local answer, one after, neither of which holds it up.

fallback: when the local answer is missing or unsure. race: at once, beside it. only: instead of it.
A local answer that is worth showing is never kept waiting: the server's then serves the next
keystroke. Works on the engine's thread; everything slow happens behind the transport.
"""

import logging
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from assistant.cancel import Cancel
from assistant.remote.answers import Beliefs, RemoteText, probability, typed_since
from assistant.remote.errors import RemoteError
from assistant.remote.file_policy import FilePolicy, Locate
from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.limits import Breaker
from assistant.remote.payload import restore_answer
from assistant.remote.request_guard import RequestGuard
from assistant.remote.settings import RemoteSettings
from assistant.remote.transport import CLOSE_S, Transport
from assistant.request import CompletionRequest
from assistant.source import stopping
from assistant.source.languages import language_of
from model.paths import state_folder

log = logging.getLogger(__name__)

REPLY_S = 0.02  # before the deadline, for the way back to the editor
MAX_RECENT = 16  # requests of which the answers are kept
_CONTEXT_CHARS = 8_000  # around the cursor, for deciding where a suggestion ends


@dataclass(kw_only=True, slots=True)
class RemoteHandle:
    """What `before` knows of a request, for `after`."""

    request: CompletionRequest
    blocks: bool  # several lines are wanted where the cursor opens a block
    inflight: InflightRequest | None = None  # this request's own, or an earlier one that it fits


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
        missing: str = "",
    ) -> None:
        """Take settings and what finds a file; `missing` says what must be installed first."""
        self.settings = settings
        self._missing = missing
        self._files = FilePolicy(settings, locate, exclude=exclude)
        self._breaker = breaker or Breaker()
        self._guard = RequestGuard(
            settings, self._files, ledger or Ledger(state_folder()), self._breaker
        )
        self._transport = Transport(settings, self._guard, on_over=self._keep)
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[str, int], InflightRequest] = OrderedDict()

    @property
    def replaces_local(self) -> bool:
        """Whether the local model is not to be asked at all."""
        return self.settings.mode == "only" and not self._missing

    @property
    def complaint(self) -> str:
        """What the user must do before anything is sent; empty if nothing."""
        if self._missing or self.settings.is_consented:
            return self._missing
        return (
            "remote.toml names a server, but nothing is sent to it until it also says: "
            f'send_code_to = "{self.settings.host}"'
        )

    def status(self) -> dict[str, object]:
        """Return the state for an editor's status line: ready, degraded, or what it needs.

        `problem` says why, and when the server is asked again; `said` is both in one line.
        """
        state, problem = "ready", self._guard.fault
        if self.complaint:
            state, problem = "not installed" if self._missing else "needs consent", self.complaint
        elif self._breaker.state != "closed":
            wait_s = math.ceil(self._breaker.wait_s)
            again = f"in {wait_s} s" if wait_s else "with the next suggestion"
            state, problem = "degraded", f"{self._guard.fault}; next try {again}"
        elif self._guard.obstacle:
            state, problem = "degraded", self._guard.obstacle
        return {
            "mode": self.settings.mode,
            "host": self.settings.host,
            "state": state,
            "problem": problem,
            "said": state if state == "ready" else f"{state}: {problem}",
        }

    def warm_up(self) -> None:
        """Make ready in the background."""
        if not self.complaint:
            self._transport.warm_up()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop what is under way, waiting at most `timeout_s` for it."""
        self._transport.close(timeout_s)

    def before(self, request: CompletionRequest, *, blocks: bool) -> RemoteHandle | None:
        """Begin with a request; None if the server has nothing to do with it.

        `blocks`: several lines may be wanted where the cursor opens a block.
        """
        if self.complaint or not self._breaker.may_pass():
            return None
        try:
            self._files.check_name(request.path, request.language)
        except RemoteError:
            return None
        handle = RemoteHandle(request=request, blocks=blocks, inflight=self._find(request))
        if handle.inflight is None and self.settings.mode in ("race", "only"):
            self._ask(handle)
        return handle

    def after(
        self,
        handle: RemoteHandle | None,
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
        if handle is None:
            return None
        if confidence is not None and confidence >= self.settings.min_confidence:
            if handle.inflight is not None:
                handle.inflight.stop()  # the local answer is enough: do not pay for the other
            return None
        if handle.inflight is None:
            self._ask(handle)
        inflight = handle.inflight
        if inflight is None:
            return None
        if confidence is None:
            wait_s = self.settings.wait_ms / 1_000
            inflight.wait(min(deadline - REPLY_S, time.monotonic() + wait_s), cancel)
        if inflight.is_whole:
            return self._rest_of(inflight, handle.request)
        if self.settings.late == "drop":
            inflight.stop()
        return None

    def weigh(
        self, found: RemoteText, text: str, request: CompletionRequest, beliefs: Beliefs
    ) -> float:
        """Return the probability that `text`, what the rules left of a server's, is right.

        `beliefs` are the local proposals with their probabilities.
        """
        return probability(found, text, request, beliefs, trust=self.settings.trust)

    def _find(self, request: CompletionRequest) -> InflightRequest | None:
        """Return an earlier request whose answer this one can use; stop those it cannot use."""
        with self._lock:
            every = self._recent.values()
            recent = [each for each in every if each.request.document == request.document]
        for inflight in reversed(recent):
            typed = typed_since(inflight.request, request)
            if inflight.is_hopeless:
                continue
            if inflight.is_whole:
                if self._rest_of(inflight, request) is not None:
                    return inflight
            elif typed is None or ("\n" in typed and inflight.single_line):
                inflight.stop()
            elif inflight.text.startswith(typed[: len(inflight.text)]):
                return inflight
            else:
                inflight.stop()
        return None

    def _ask(self, handle: RemoteHandle) -> None:
        inflight = InflightRequest(handle.request, self.settings, blocks=handle.blocks)
        key = (handle.request.document, handle.request.offset)
        with self._lock:
            self._recent[key] = inflight
            self._recent.move_to_end(key)
            while len(self._recent) > MAX_RECENT:
                self._recent.popitem(last=False)
        try:
            self._transport.start(inflight)
        except RemoteError:
            self._forget(inflight)
        else:
            handle.inflight = inflight

    def _forget(self, inflight: InflightRequest) -> None:
        key = (inflight.request.document, inflight.request.offset)
        with self._lock:
            if self._recent.get(key) is inflight:
                del self._recent[key]

    def _keep(self, inflight: InflightRequest) -> None:
        """Keep what may serve a later keystroke; on the transport's thread."""
        log.debug("remote: %s", inflight.error.kind if inflight.error else "ok")
        if inflight.is_whole and self.settings.late == "keep":
            inflight.answer = _check_answer(inflight)
        if inflight.answer is None:
            self._forget(inflight)

    def _rest_of(self, inflight: InflightRequest, request: CompletionRequest) -> RemoteText | None:
        """Return what is left of a whole answer at the cursor of `request`."""
        typed = typed_since(inflight.request, request)
        if typed is None:
            return None
        answer = inflight.answer or _check_answer(inflight)
        if answer is None or not answer.text.startswith(typed) or answer.text == typed:
            return None
        return answer.after(len(typed))


def _check_answer(inflight: InflightRequest) -> RemoteText | None:
    """Return the text that may be shown, up to where it should end."""
    request, payload = inflight.request, inflight.payload
    if payload is None:
        return None
    try:
        text = restore_answer(inflight.text, payload, request)
    except RemoteError as error:
        log.info("remote: not shown: %s", error)
        return None
    stopped = stopping.stop(
        language_of(request.path, request.language),
        request.text[max(0, request.offset - _CONTEXT_CHARS) : request.offset],
        request.text[request.offset : request.offset + _CONTEXT_CHARS],
        iter([text]),
        not inflight.single_line,
    )
    is_as_sent = stopped.text == text
    return RemoteText(
        text=stopped.text,
        finish_reason=inflight.finish_reason if is_as_sent else stopped.finish_reason,
        single_line=inflight.single_line,
        prompt_tokens=inflight.prompt_tokens or 0,
        new_tokens=inflight.new_tokens or 0,
        marks=inflight.marks if text == inflight.text else inflight.marks[-1:],
    )
