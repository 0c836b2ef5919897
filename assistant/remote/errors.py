"""What can go wrong with a remote server: one error, whose kind says what is done about it."""

from typing import Literal

from assistant.errors import AssistantError

Kind = Literal[
    "unreachable",  # no connection, so nothing was sent
    "broken off",  # the connection ended before the answer did
    "too slow",  # a time limit was reached
    "busy",  # up, but wants fewer requests (429), or none for a while (503)
    "refused",  # another status than 200
    "not understood",  # not in the format that the settings name
    "too large",  # larger than any suggestion could need
    "failed",  # anything else
    "stopped",  # by us: nobody wants the answer any more
    "withheld",  # nothing was sent, for a reason on our side: policy, budget, a secret, no key
]


class RemoteError(AssistantError):
    """No usable answer; the message may be shown and logged: it holds no text, answer or key.

    `retry_after_s`: how long the server asked to be left alone.
    """

    def __init__(self, kind: Kind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind, self.retry_after_s = kind, retry_after_s

    @property
    def is_ours(self) -> bool:
        """Whether the server had no part in it."""
        return self.kind in ("stopped", "withheld")


def withheld(message: str) -> RemoteError:
    """Return the error for what must not leave."""
    return RemoteError("withheld", message)
