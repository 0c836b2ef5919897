"""One request under way, seen from any thread, and what a server's text is worth.

The thread that sends a request writes its text as it grows; whoever asked reads, waits, or says
that nobody wants it. Someone who types on what was being suggested asks again at each key: the
earlier answer is still the right one as far as it begins with what was typed meanwhile. How likely
it is right is judged by the server's own word on its tokens, where its format gives one, else by
the text's length; and by the local proposals, those that begin alike and those that do not.
"""

import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from assistant.errors import RemoteError
from assistant.generate.cache import Spot
from assistant.remote.formats import Piece, tidy_answer
from assistant.remote.payload import Payload, restore_answer
from assistant.remote.settings import RemoteSettings
from assistant.request import Cancel, CompletionRequest
from assistant.source.blocks import next_line
from assistant.source.languages import language_of
from assistant.source.stopping import stop

Beliefs = Sequence[tuple[str, float]]  # local proposals, and the share of belief in each

_EDGE = 1e-3  # what a server says is kept so far from 0 and 1
# Weights of: one, the server's word, shares that agree, shares that do not; and the same for a
# server without a word, where the setting `trust` stands for the one. See docs/experiments.md.
_BY_ITS_WORD = (-0.7, 0.75, 1.2, -0.5)
_BY_LENGTH = (-1.0, 2.7, -0.4)
_USUAL_CHARS = 12  # the length of a text for which `trust` holds as it is
_ECHO = -3.0  # assumed: the models at hand do not do it, chat models do
_MIN_ECHO_CHARS = 3
_POLL_S = 0.005  # how soon one who waits notices that the request was cancelled
_CONTEXT_CHARS = 8_000  # around the cursor, for deciding where a suggestion ends

log = logging.getLogger(__name__)


class RemoteText(NamedTuple):
    """What a server wrote for a cursor, checked."""

    text: str
    finish_reason: str
    single_line: bool
    marks: tuple[tuple[int, float], ...] = ()  # (characters, logarithm so far); empty: unknown
    trust: float = 0.5  # how often a server is right that does not say how sure it is

    def logprob(self, n_chars: int) -> float | None:
        """Return the server's word on the first `n_chars` characters; None if it gave none."""
        if not self.marks:
            return None
        return next((so_far for end, so_far in self.marks if end >= n_chars), self.marks[-1][1])

    def after(self, n_typed: int) -> "RemoteText":
        """Return what is left once the user has typed the beginning."""
        known = [so_far for end, so_far in self.marks if end <= n_typed]
        spent = known[-1] if known else 0.0  # a token typed in part is still to be paid for
        return self._replace(
            text=self.text[n_typed:],
            marks=tuple((end - n_typed, sum_ - spent) for end, sum_ in self.marks if end > n_typed),
        )

    def weigh(self, shown: str, request: CompletionRequest, beliefs: Beliefs) -> float:
        """Return how likely `shown`, what the rules have left of the text, is right."""
        first = cut_first_line(shown)
        if not first.strip():
            return 0.0
        told = self.logprob(len(first))
        agreeing, opposing = sum_beliefs(first, beliefs)
        if told is None:
            weights = (_logit(self.trust), *_BY_LENGTH)
            word = math.log1p(len(first.strip())) - math.log1p(_USUAL_CHARS)
        else:
            weights, word = _BY_ITS_WORD, _logit(math.exp(max(told, -30.0)))
        columns = (1.0, word, agreeing, opposing)
        score = sum(weight * value for weight, value in zip(weights, columns, strict=True))
        if is_echo(first.strip(), request):
            score += _ECHO
        return 1 / (1 + math.exp(-score))


def _logit(share: float) -> float:
    share = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(share / (1 - share))


def cut_first_line(text: str) -> str:
    """Return `text` up to the end of its first line that says something.

    If that is wrong, nobody reads the rest.
    """
    head = len(text) - len(text.lstrip())
    end = text.find("\n", head)
    return text if end < 0 else text[:end]


def is_echo(text: str, request: CompletionRequest) -> bool:
    """Say whether `text` only says again what stands around the cursor.

    That is the cursor's line from its beginning, or the next line that says something.
    """
    if len(text) < _MIN_ECHO_CHARS:
        return False
    before = request.text[: request.offset].rpartition("\n")[2].strip()
    below = next_line(request.text, request.offset) or ""
    return text == below.strip() or (len(before) >= _MIN_ECHO_CHARS and text.startswith(before))


def sum_beliefs(text: str, beliefs: Beliefs) -> tuple[float, float]:
    """Return the belief in local proposals that begin as `text` does, and in all others."""
    agreeing = sum(
        share
        for proposed, share in beliefs
        if proposed and (proposed.startswith(text) or text.startswith(proposed))
    )
    opposing = sum(share for _, share in beliefs) - agreeing
    return min(agreeing, 1.0), min(max(opposing, 0.0), 1.0)


class InflightRequest:
    """From the decision to ask a server until there is an answer, or an error."""

    def __init__(
        self, request: CompletionRequest, settings: RemoteSettings, *, single_line: bool
    ) -> None:
        self.request = request
        self.spot = Spot.of(request)
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
        self._hang_up: Callable[[], None] = lambda: None
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
        typed = self.spot.typed_since(request)
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
                self._hang_up()

    # -- on the request's thread

    def check(self) -> None:
        """Raise why it was halted, if it was."""
        if self.halted is not None:
            raise self.halted

    def hold(self, hang_up: Callable[[], None] = lambda: None) -> None:
        """Say how a halt hangs up from now on."""
        with self._lock:
            self._hang_up = hang_up

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
