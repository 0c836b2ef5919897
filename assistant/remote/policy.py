"""When to ask a server: one call before the local answer, one after, neither of which holds it up.

fallback: when the local answer is missing or unsure. race: at once, beside it. only: instead of it.
A local answer that is worth showing is never kept waiting: the server's then serves the next
keystroke. Works on the engine's thread; everything slow happens on the sender's.
"""

import math
import threading

from assistant.errors import RemoteError
from assistant.remote.inflight import InflightRequest, RemoteText
from assistant.remote.ledger import Ledger
from assistant.remote.payload import FilePolicy, Locate, is_single_line
from assistant.remote.sender import CLOSE_S, Sender
from assistant.remote.settings import RemoteSettings
from assistant.request import Cancel, CompletionRequest
from model.lru import LRU
from model.paths import state_folder

REPLY_S = 0.02  # before the deadline, for the way back to the editor
MAX_RECENT = 16  # requests of which the answers are kept


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
        files = FilePolicy(settings=settings, locate=locate, exclude=exclude)
        self._sender = Sender(settings, files, ledger or Ledger(state_folder()))
        self._lock = threading.Lock()
        self._recent: LRU[tuple[str, int], InflightRequest] = LRU(MAX_RECENT)

    @property
    def replaces_local(self) -> bool:
        """Whether the local model is not to be asked at all."""
        return self.settings.mode == "only"

    @property
    def complaint(self) -> str:
        """What the user must do before anything is sent; empty if nothing."""
        said = f'send_code_to = "{self.settings.host}"'
        needs = "remote.toml names a server, but nothing is sent to it until it also says"
        return "" if self.settings.is_consented else f"{needs}, when the editor starts: {said}"

    def status(self) -> dict[str, object]:
        """Return the state for an editor's status line: ready, degraded, or what it needs.

        `problem` says why, and when the server is asked again; `said` is both in one line.
        """
        state, problem = "ready", self._sender.fault
        breaker = self._sender.breaker
        if self.complaint:
            state, problem = "needs consent", self.complaint
        elif not breaker.is_closed:
            wait_s = math.ceil(breaker.wait_s)
            again = f"in {wait_s} s" if wait_s else "with the next suggestion"
            state, problem = "degraded", f"{problem}; next try {again}"
        elif self._sender.obstacle:
            state, problem = "degraded", self._sender.obstacle
        return {
            "mode": self.settings.mode,
            "host": self.settings.host,
            "state": state,
            "problem": problem,
            "said": state if state == "ready" else f"{state}: {problem}",
        }

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop what is under way, waiting at most `timeout_s` for it."""
        self._sender.close(timeout_s)

    def before(self, request: CompletionRequest, *, blocks: bool) -> InflightRequest | None:
        """Begin with a request; None if the server has nothing to do with it.

        `blocks`: several lines may be wanted where the cursor opens a block. What is returned is
        an earlier request that fits this one, too, or its own, sent by now or not.
        """
        if self.complaint or not self._sender.breaker.may_pass():
            return None
        try:
            self._sender.files.check_name(request)
        except RemoteError:
            return None
        inflight = self._find(request)
        if inflight is None:
            single_line = is_single_line(request, blocks=blocks)
            inflight = InflightRequest(request, self.settings, single_line=single_line)
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
        Without one this waits for the server, until shortly before `deadline` (monotonic). Nothing
        is kept from the user by that, and a newer key or another document's request ends it.
        """
        if inflight is None:
            return None
        if confidence is not None and confidence >= self.settings.min_confidence:
            inflight.halt()  # the local answer is enough: do not pay for the other
            return None
        if not (inflight.started_s or self._start(inflight)):
            return None
        if confidence is None:
            inflight.wait(deadline - REPLY_S, cancel)
        return inflight.rest(request) if inflight.is_whole else None

    def _find(self, request: CompletionRequest) -> InflightRequest | None:
        """Return an earlier request whose answer this one can use; stop those it cannot use."""
        with self._lock:
            recent = [*reversed(self._recent.values())]
        for inflight in recent:
            if inflight.request.document != request.document:
                continue
            if inflight.is_whole:
                if inflight.rest(request) is not None:
                    return inflight
            elif not (inflight.is_over or inflight.halted):
                typed, text = inflight.spot.typed_since(request), inflight.text
                is_past = typed is not None and "\n" in typed and inflight.single_line
                if typed is not None and not is_past and text.startswith(typed[: len(text)]):
                    return inflight
                inflight.halt()
        return None

    def _start(self, inflight: InflightRequest) -> bool:
        """Send a request, and remember it; say whether that could be."""
        if not self._sender.start(inflight):
            return False
        with self._lock:
            self._recent.put((inflight.request.document, inflight.request.offset), inflight)
        return True
