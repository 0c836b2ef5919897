"""What is asked for, what is offered, and the flag that says that nobody wants it any more.

Texts have LF line ends only, and offsets count code points from the start of the text.
"""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionRequest:
    """A snapshot of one document and the cursor in it."""

    path: str  # in its folder, as the model is told
    text: str  # LF line ends only
    offset: int  # of the cursor, in code points
    language: str | None = None  # the editor's language identifier, if it gave one
    n: int = 1  # suggestions wanted
    deadline_ms: int = 600  # from request to last token
    document: str = ""  # which one this is, among all of one path; "": the path says it
    repository: str = ""  # name of the folder that it is in, for models that are told
    names: tuple[str, ...] = ()  # that its file has besides, as patterns may mean it

    def __post_init__(self) -> None:
        object.__setattr__(self, "document", self.document or self.path)
        if not 0 <= self.offset <= len(self.text):
            raise ValueError(f"offset {self.offset} is outside the text (0..{len(self.text)})")
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A suggestion: `text` replaces [start, end) of the request's text, on the cursor's line."""

    text: str
    start: int  # start <= the request's offset <= end
    end: int
    source: str  # "network", "index", "cache" or "remote"
    finish_reason: str  # "stop", "length", "deadline", "cancelled" or "repetition"
    logprob: float  # summed over the new tokens, where the network wrote the text itself
    probability: float = 0.0  # calibrated: that the text is a right beginning of what is wanted


class Cancel:
    """Set from any thread; looked at between two tokens."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._hurry = threading.Event()

    def set(self) -> None:
        """Ask the work to stop; setting twice is harmless."""
        self._event.set()

    def hurry(self) -> None:
        """Ask the work to wait for nobody else: others are waiting for it."""
        self._hurry.set()

    def is_hurried(self) -> bool:
        """Say whether to wait for nobody else; cancelled work waits for nobody either."""
        return self._hurry.is_set() or self._event.is_set()

    def is_set(self) -> bool:
        """Say whether the work should stop."""
        return self._event.is_set()
