"""What `assistant` raises on purpose; str() of each is one line fit for a user.

AssistantError
  SettingsError     a setting is wrong; also a ConfigError, so also a ValueError
  ModelError        no usable model: missing, damaged, of another version
  RemoteError       no answer of a remote server; its kind says what is done about it
"""

from typing import Literal

from model.config import ConfigError


class AssistantError(Exception):
    """Anything raised on purpose; the message needs no traceback to be understood."""


class SettingsError(AssistantError, ConfigError):
    """A setting is unknown, of the wrong type, out of range, or not allowed from where it came."""


class ModelError(AssistantError, ValueError):
    """The model cannot be loaded; the message says why and how to mend it."""


RemoteFault = Literal[
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

    def __init__(
        self, kind: RemoteFault, message: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.retry_after_s = kind, retry_after_s

    @property
    def is_ours(self) -> bool:
        """Whether the server had no part in it."""
        return self.kind in ("stopped", "withheld")


def withheld(message: str) -> RemoteError:
    """Return the error for what must not leave."""
    return RemoteError("withheld", message)
