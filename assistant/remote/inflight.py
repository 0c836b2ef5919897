"""One question under way: its text as it grows, seen from any thread.

The transport writes it; whoever asked reads, waits, or says that nobody wants it any more. Knows no
HTTP.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assistant.cancel import Cancel
from assistant.remote.backend import Backend, Piece
from assistant.remote.errors import RemoteError, StoppedError, TooLargeError, TooSlowError

if TYPE_CHECKING:
    from assistant.remote.sockets import Line

MAX_TEXT_CHARS = 1 << 16  # of an answer
_POLL_S = 0.005  # how soon one who waits notices that the request was cancelled


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request as it goes out."""

    url: str
    headers: Mapping[str, str] = field(repr=False)  # one of them is the key
    body: bytes = field(repr=False)
    single_line: bool  # its first line is enough


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A request to be: made up on another thread than the one that must answer an editor."""

    prepare: Callable[[], Call]  # WithheldError if nothing may leave
    backend: Backend
    total_s: float  # for all attempts together


class Flight:
    """Grows on the transport's thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.call: Call | None = None  # once it is prepared
        self.line: Line | None = None  # of the transport's thread only, as is what follows
        self.is_halted = False
        self.has_sent = False
        self.bytes_received = 0
        self.prompt_tokens: int | None = None
        self.new_tokens: int | None = None
        self.started_s = time.monotonic()
        self._changed = threading.Condition()
        self._text = ""
        self._marks: list[tuple[int, float]] | None = []  # None: the server does not say
        self._finish_reason = ""
        self._is_over = False
        self._error: RemoteError | None = None
        self._why_halted: RemoteError | None = None
        self._halt: Callable[[], None] | None = None  # wakes the transport
        self._is_unwanted = False
        self._on_over: list[Callable[[Flight], None]] = []

    # -- for who asked

    @property
    def text(self) -> str:
        """What has come so far, as the format means it."""
        with self._changed:
            return self.plan.backend.tidy(self._text)

    @property
    def marks(self) -> tuple[tuple[int, float], ...]:
        """How likely the server calls its text: (characters of it, logarithm so far), growing.

        Empty if it does not say. Where the format takes something away, the whole counts.
        """
        with self._changed:
            if not self._marks:
                return ()
            tidied = self.plan.backend.tidy(self._text)
            if self._text.startswith(tidied):
                return tuple(self._marks)
            return ((len(tidied), self._marks[-1][1]),)

    @property
    def finish_reason(self) -> str:
        """ "stop" or "length" once the text is whole, else empty."""
        with self._changed:
            return self._finish_reason

    @property
    def is_whole(self) -> bool:
        """Whether the server has said that this is all."""
        with self._changed:
            return bool(self._finish_reason)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        with self._changed:
            return self._is_over

    @property
    def is_hopeless(self) -> bool:
        """Whether no whole text will come of it any more: it failed, or was stopped."""
        with self._changed:
            return not self._finish_reason and (self._is_over or self._is_unwanted)

    @property
    def error(self) -> RemoteError | None:
        """Why there is no whole text, once it is over."""
        with self._changed:
            return self._error

    def wait(self, deadline: float, cancel: Cancel | None = None) -> bool:
        """Wait until the text is whole, at most to `deadline` (monotonic); say whether it is."""
        with self._changed:
            while not (self._finish_reason or self._is_over):
                left = deadline - time.monotonic()
                if left <= 0 or (cancel is not None and cancel.is_hurried()):
                    break
                self._changed.wait(min(left, _POLL_S) if cancel is not None else left)
            return bool(self._finish_reason)

    def stop(self) -> None:
        """Say that nobody wants the answer; the connection is closed. From any thread."""
        with self._changed:
            self._is_unwanted = True
            halt = self._halt
        if halt is not None:
            halt()

    def on_over(self, listener: Callable[["Flight"], None]) -> None:
        """Call `listener` when it is over, on the transport's thread; at once if it is."""
        with self._changed:
            if not self._is_over:
                self._on_over.append(listener)
                return
        listener(self)

    # -- for the transport

    def attach(self, halt: Callable[[], None]) -> None:
        """Take what wakes the transport's thread."""
        with self._changed:
            self._halt = halt
            is_unwanted = self._is_unwanted
        if is_unwanted:
            halt()

    def halt(self, why: RemoteError | None = None) -> None:
        """End it for a reason of ours; on the transport's thread."""
        if not self.is_halted:
            self.is_halted = True
            self._why_halted = why or StoppedError("nobody wants the answer any more")
            if self.line is not None:
                self.line.hang_up(self)

    def time_out(self) -> None:
        """End it because the total time is up."""
        self.halt(TooSlowError(f"no whole answer within {self.plan.total_s:g} s"))

    def check(self) -> None:
        """Raise why it was halted, if it was."""
        if self._why_halted is not None:
            raise self._why_halted

    def take(self, piece: Piece) -> bool:
        """Add a piece; say whether no more is wanted."""
        if piece.prompt_tokens is not None:
            self.prompt_tokens = piece.prompt_tokens
        if piece.new_tokens is not None:
            self.new_tokens = piece.new_tokens
        with self._changed:
            if not self._finish_reason:
                self._text += piece.text
                self._mark(piece)
                if len(self._text) > MAX_TEXT_CHARS:
                    raise TooLargeError(f"the answer has over {MAX_TEXT_CHARS} characters")
                is_short = self.call is not None and self.call.single_line
                is_enough = is_short and "\n" in self._text.lstrip()
                self._finish_reason = "stop" if is_enough else piece.finish_reason or ""
                if self._finish_reason:
                    self._changed.notify_all()
                return is_enough
            return False

    def _mark(self, piece: Piece) -> None:
        if piece.logprob is not None and self._marks is not None:
            so_far = self._marks[-1][1] if self._marks else 0.0
            self._marks.append((len(self._text), so_far + piece.logprob))
        elif piece.text:
            self._marks = None  # of a part nothing is known, so of the whole neither

    def restart(self) -> None:
        """Forget what came: another attempt begins."""
        with self._changed:
            self._text = ""
            self._marks = []
        self.bytes_received = 0
        self.has_sent = False

    def land(self, error: RemoteError | None) -> None:
        """Be over; a whole text stays one whatever happened after it."""
        with self._changed:
            if self._is_over:
                return
            self._is_over = True
            self._error = None if self._finish_reason else error
            listeners, self._on_over = self._on_over, []
            self._changed.notify_all()
        for listener in listeners:
            listener(self)
