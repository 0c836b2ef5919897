"""Leaves a failing server alone. Durations are by a monotonic clock."""

import time
from collections.abc import Callable

from assistant.remote.errors import RemoteError

THRESHOLD = 3  # failures in a row
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 300.0


class Breaker:
    """Leaves a failing server alone, longer each time, then lets one request through to probe it.

    Whoever enters and reports has a lock; others only look.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._n_failures = self._n_pauses = 0
        self._opened_until = 0.0
        self._is_probing = False

    @property
    def is_closed(self) -> bool:
        """Whether the server works, as far as is known."""
        return not self._n_pauses

    @property
    def wait_s(self) -> float:
        """How long the server is still left alone."""
        return max(0.0, self._opened_until - self._clock())

    def may_pass(self) -> bool:
        """Say whether a request would be let through now."""
        return self.wait_s == 0 and not self._is_probing

    def enter(self) -> bool:
        """Let one request through, or not; the outcome of one that is must be reported."""
        if not self.may_pass():
            return False
        self._is_probing = not self.is_closed
        return True

    def report(self, error: RemoteError | None) -> None:
        """Take in an outcome."""
        was_probe, self._is_probing = self._is_probing, False
        if error is None:
            self._n_failures = self._n_pauses = 0
            self._opened_until = 0.0
            return
        if error.is_ours:  # which tells nothing of the server
            return
        self._n_failures += 1
        pause_s = error.retry_after_s
        if pause_s is None:
            if self._n_failures < THRESHOLD and not was_probe:
                return
            pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._n_pauses, 10))
        self._n_pauses += 1
        self._opened_until = self._clock() + pause_s
