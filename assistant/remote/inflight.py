"""One request under way: its text as it grows, seen from any thread.

The thread that sends it writes it; whoever asked reads, waits, or says that nobody wants it.
"""

import functools
import logging
import threading
import time
from typing import TYPE_CHECKING

from assistant.cancel import Cancel
from assistant.remote.answers import RemoteText, typed_since
from assistant.remote.errors import RemoteError
from assistant.remote.formats import Piece, tidy_answer
from assistant.remote.payload import Payload, restore_answer
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.source.languages import language_of
from assistant.source.stopping import stop

if TYPE_CHECKING:
    from assistant.remote.connection import Connection

_POLL_S = 0.005  # how soon one who waits notices that the request was cancelled
_CONTEXT_CHARS = 8_000  # around the cursor, for deciding where a suggestion ends

log = logging.getLogger(__name__)


class InflightRequest:
    """From the decision to ask a server until there is an answer, or an error."""

    def __init__(
        self, request: CompletionRequest, settings: RemoteSettings, *, single_line: bool
    ) -> None:
        self.request = request
        self.settings = settings
        self.single_line = single_line  # the rest of the line is wanted, and no more
        # What leaves, once it is prepared:
        self.payload: Payload
        self.headers: dict[str, str] = {}  # one of them is the key
        # What came:
        self.finish_reason = ""  # "stop" or "length" once the text is whole
        self.prompt_tokens: int | None = None
        self.new_tokens: int | None = None
        self.bytes_received = 0
        self.error: RemoteError | None = None  # why there is no whole text, once it is over
        self._text = ""
        self._marks: list[tuple[int, float]] | None = []  # None: the server does not say
        # Its way:
        self.started_s = 0.0  # 0: not yet
        self.has_sent = False  # anything at all
        self.is_over = False
        self.halted: RemoteError | None = None  # why we ended it ourselves
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._is_settled = threading.Event()  # whole, halted or over

    @property
    def text(self) -> str:
        """What has come so far, as the format means it."""
        return tidy_answer(self._text, self.settings, self.request.text)

    @property
    def is_whole(self) -> bool:
        """Whether the server has said that this is all."""
        return bool(self.finish_reason)

    @functools.cached_property
    def answer(self) -> RemoteText | None:
        """The text, once it is whole, up to where it should end; None if it may not be shown."""
        request, tidied = self.request, self.text
        try:
            text = restore_answer(tidied, self.payload, request)
        except RemoteError as error:
            log.info("remote: not shown: %s", error)
            return None
        stopped = stop(
            language_of(request.path, request.language),
            request.text[max(0, request.offset - _CONTEXT_CHARS) : request.offset],
            request.text[request.offset : request.offset + _CONTEXT_CHARS],
            iter([text]),
            not self.single_line,
        )
        marks = tuple(self._marks or ())
        if marks and not self._text.startswith(tidied):  # of what was taken away the whole counts
            marks = ((len(tidied), marks[-1][1]),)
        return RemoteText(
            text=stopped.text,
            finish_reason=self.finish_reason if stopped.text == text else stopped.finish_reason,
            single_line=self.single_line,
            marks=marks if text == tidied else marks[-1:],
            trust=self.settings.trust,
        )

    def rest(self, request: CompletionRequest) -> RemoteText | None:
        """Return what is left of the whole text at the cursor of `request`."""
        typed = typed_since(self.request, request)
        found = self.answer if typed is not None else None
        if typed is None or found is None or not found.text.startswith(typed):
            return None
        return found.after(len(typed)) if found.text != typed else None

    def wait(self, deadline: float, cancel: Cancel) -> None:
        """Wait until the text is whole, at most to `deadline` (monotonic)."""
        while not self._is_settled.is_set():
            left = deadline - time.monotonic()
            if left <= 0 or cancel.is_hurried():
                break
            self._is_settled.wait(min(left, _POLL_S))

    def halt(self, why: RemoteError | None = None) -> None:
        """Hang up: nobody wants the answer any more, or `why`. From any thread."""
        with self._lock:
            if self.halted is None and not self.is_over:
                self.halted = why or RemoteError("stopped", "nobody wants the answer any more")
                self._is_settled.set()
                if self._connection is not None:
                    self._connection.hang_up()

    # -- on the request's thread

    def check(self) -> None:
        """Raise why it was halted, if it was."""
        if self.halted is not None:
            raise self.halted

    def hold(self, connection: "Connection | None") -> None:
        """Say on which connection a halt hangs up from now on."""
        with self._lock:
            self._connection = connection

    def take(self, piece: Piece) -> bool:
        """Add a piece; say whether no more is wanted."""
        if piece.prompt_tokens is not None:
            self.prompt_tokens = piece.prompt_tokens
        if piece.new_tokens is not None:
            self.new_tokens = piece.new_tokens
        if self.is_whole:
            return False
        self._text += piece.text
        if piece.logprob is not None and self._marks is not None:
            so_far = self._marks[-1][1] if self._marks else 0.0
            self._marks.append((len(self._text), so_far + piece.logprob))
        elif piece.text:
            self._marks = None  # of a part nothing is known, so of the whole neither
        is_enough = self.single_line and "\n" in piece.text and "\n" in self.text.lstrip()
        reason = "stop" if is_enough else piece.finish_reason
        if reason:
            self.finish_reason = reason
            self._is_settled.set()
        return is_enough

    def finish(self, error: RemoteError | None) -> None:
        """Be over; a whole text stays one whatever happened after it."""
        with self._lock:
            self.error = None if self.is_whole else error
            self.is_over = True
            self._is_settled.set()
