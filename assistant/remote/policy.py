"""When to ask a server: one call before the local answer, one after, neither of which holds it up.

fallback: when the local answer is missing or unsure. race: at once, beside it. only: instead of it.
A local answer that is worth showing is never kept waiting: the server's then serves the next
keystroke. Works on the engine's thread; everything slow happens behind the transport.
"""

import logging
import math
import threading
import time

from assistant.cancel import Cancel
from assistant.remote.answers import RemoteText, typed_since
from assistant.remote.errors import RemoteError
from assistant.remote.file_policy import FilePolicy, Locate
from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.payload import restore_answer
from assistant.remote.request_guard import RequestGuard
from assistant.remote.settings import RemoteSettings
from assistant.remote.transport import CLOSE_S, Transport
from assistant.request import CompletionRequest
from assistant.source import stopping
from assistant.source.languages import language_of
from model.lru import LRU
from model.paths import state_folder

log = logging.getLogger(__name__)

REPLY_S = 0.02  # before the deadline, for the way back to the editor
MAX_RECENT = 16  # requests of which the answers are kept
_CONTEXT_CHARS = 8_000  # around the cursor, for deciding where a suggestion ends


class Remote:
    """The remote side of one engine."""

    def __init__(
        self,
        settings: RemoteSettings,
        locate: Locate,
        *,
        exclude: tuple[str, ...] = (),
        ledger: Ledger | None = None,
    ) -> None:
        self.settings = settings
        self._files = FilePolicy(settings, locate, exclude=exclude)
        self._guard = RequestGuard(settings, self._files, ledger or Ledger(state_folder()))
        self._transport = Transport(settings, self._guard, on_whole=_keep_answer)
        self._lock = threading.Lock()
        self._recent: LRU[tuple[str, int], InflightRequest] = LRU(MAX_RECENT)

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
        """Return the state for an editor's status line: ready, degraded, or what it needs.

        `problem` says why, and when the server is asked again; `said` is both in one line.
        """
        state, problem = "ready", self._guard.fault
        breaker = self._guard.breaker
        if self.complaint:
            state, problem = "needs consent", self.complaint
        elif not breaker.is_closed:
            wait_s = math.ceil(breaker.wait_s)
            again = f"in {wait_s} s" if wait_s else "with the next suggestion"
            state, problem = "degraded", f"{problem}; next try {again}"
        elif self._guard.obstacle:
            state, problem = "degraded", self._guard.obstacle
        return {
            "mode": self.settings.mode,
            "host": self.settings.host,
            "state": state,
            "problem": problem,
            "said": state if state == "ready" else f"{state}: {problem}",
        }

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop what is under way, waiting at most `timeout_s` for it."""
        self._transport.close(timeout_s)

    def before(self, request: CompletionRequest, *, blocks: bool) -> InflightRequest | None:
        """Begin with a request; None if the server has nothing to do with it.

        `blocks`: several lines may be wanted where the cursor opens a block. What is returned is
        an earlier request that fits this one, too, or its own, sent by now or not.
        """
        if self.complaint or not self._guard.breaker.may_pass():
            return None
        try:
            self._files.check_name(request)
        except RemoteError:
            return None
        inflight = self._find(request)
        if inflight is None:
            inflight = InflightRequest(request, self.settings, blocks=blocks)
            if self.settings.mode in ("race", "only"):
                self._start(inflight)
        return inflight

    def after(
        self,
        request: CompletionRequest,
        inflight: InflightRequest | None,
        *,
        confidence: float | None,
        deadline: float,
        cancel: Cancel,
    ) -> RemoteText | None:
        """Return a better text than the local one, if there is one; `inflight` is from `before`.

        `confidence` is the probability of the local answer that would be shown, None without one.
        Without one this waits for the server: until shortly before `deadline` (monotonic), or as
        long as the setting `wait_ms` allows. Nothing is kept from the user by that, and a newer
        key or another document's request ends it.
        """
        if inflight is None:
            return None
        if confidence is not None and confidence >= self.settings.min_confidence:
            inflight.halt()  # the local answer is enough: do not pay for the other
            return None
        if not (inflight.started_s or self._start(inflight)):
            return None
        if confidence is None:
            wait_s = self.settings.wait_ms / 1_000
            inflight.wait(min(deadline - REPLY_S, time.monotonic() + wait_s), cancel)
        if inflight.is_whole:
            return _rest_of(inflight, request)
        if self.settings.late == "drop":
            inflight.halt()
        return None

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
                if self.settings.late == "keep" and _rest_of(inflight, request) is not None:
                    return inflight
                continue
            text = inflight.text
            is_past = typed is not None and "\n" in typed and inflight.single_line
            if typed is not None and not is_past and text.startswith(typed[: len(text)]):
                return inflight
            inflight.halt()
        return None

    def _start(self, inflight: InflightRequest) -> bool:
        """Send a request, and remember it; say whether that could be."""
        try:
            self._transport.start(inflight)
        except RemoteError:
            return False
        with self._lock:
            self._recent.put((inflight.request.document, inflight.request.offset), inflight)
        return True


def _keep_answer(inflight: InflightRequest) -> None:
    """Check a whole answer once, for later keystrokes; on the transport's thread."""
    inflight.answer = _check_answer(inflight)


def _rest_of(inflight: InflightRequest, request: CompletionRequest) -> RemoteText | None:
    """Return what is left of a whole answer at the cursor of `request`."""
    typed = typed_since(inflight.request, request)
    if typed is None:
        return None
    answer = inflight.answer if inflight.is_over else _check_answer(inflight)
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
        marks=inflight.marks if text == inflight.text else inflight.marks[-1:],
        trust=inflight.settings.trust,
    )
