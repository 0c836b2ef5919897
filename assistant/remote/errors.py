"""What can go wrong with a remote server: one kind for each thing that is done about it.

Messages are for a user and for the ledger, so they hold no text of theirs, no answer and no key.
"""

from assistant.errors import AssistantError


class RemoteError(AssistantError):
    """The server gave no usable answer; `kind` is one word for the ledger."""

    kind = "failed"
    is_fault = True  # counts against the server: enough of them open the circuit
    may_retry = False  # nothing was done yet on the other side, so asking again is harmless

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreachableError(RemoteError):
    """No connection, so nothing was sent."""

    kind = "unreachable"
    may_retry = True


class BrokenOffError(RemoteError):
    """The connection ended before the answer did."""

    kind = "broken off"


class StaleConnectionError(BrokenOffError):
    """The server closed a connection without a byte of an answer, as idle ones are closed."""

    may_retry = True


class TooSlowError(RemoteError):
    """A time limit was reached."""

    kind = "too slow"


class BusyError(RemoteError):
    """The server is up and wants fewer requests (429), or none for a while (503)."""

    kind = "busy"
    may_retry = True


class StatusError(RemoteError):
    """Another status than 200."""

    kind = "refused"


class NotUnderstoodError(RemoteError):
    """The answer is not in the format that the settings name."""

    kind = "not understood"


class TooLargeError(RemoteError):
    """The answer is larger than any suggestion could need."""

    kind = "too large"


class StoppedError(RemoteError):
    """We stopped it ourselves: nobody wants the answer any more."""

    kind = "stopped"
    is_fault = False


class WithheldError(RemoteError):
    """Nothing was sent, for a reason on our side: policy, budget, a secret, no key."""

    kind = "withheld"
    is_fault = False
