"""A circuit breaker: a server that keeps failing is left alone, longer each time, then probed.

Knows outcomes and a monotonic clock, nothing of what is asked.
"""

import threading
import time
from collections.abc import Callable

THRESHOLD = 3  # failures in a row
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 300.0


class Breaker:
    """Closed: all pass. Open: none. Half-open: one, whose outcome decides. From any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._n_failures = 0
        self._n_pauses = 0
        self._open_until = 0.0
        self._is_probing = False

    @property
    def state(self) -> str:
        """Closed, open, or half-open."""
        with self._lock:
            return self._state()

    @property
    def wait_s(self) -> float:
        """How long the server is still left alone."""
        with self._lock:
            return max(0.0, self._open_until - self._clock()) if self._open_until else 0.0

    def _state(self) -> str:
        if self._open_until == 0.0:
            return "closed"
        return "open" if self._clock() < self._open_until else "half-open"

    def may_pass(self) -> bool:
        """Say whether a question would be let through now."""
        with self._lock:
            state = self._state()
            return state == "closed" or (state == "half-open" and not self._is_probing)

    def enter(self) -> bool:
        """Let one question through, or not; what is let through must report its outcome."""
        with self._lock:
            state = self._state()
            if state == "closed":
                return True
            if state == "open" or self._is_probing:
                return False
            self._is_probing = True
            return True

    def succeeded(self) -> None:
        """The server works."""
        with self._lock:
            self._n_failures = self._n_pauses = 0
            self._open_until = 0.0
            self._is_probing = False

    def failed(self, pause_s: float | None = None) -> None:
        """The server does not; `pause_s` is how long it asked to be left alone."""
        with self._lock:
            was_probe, self._is_probing = self._is_probing, False
            self._n_failures += 1
            if self._n_failures < THRESHOLD and not was_probe and pause_s is None:
                return
            own_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0**self._n_pauses)
            self._n_pauses = min(self._n_pauses + 1, 10)
            self._open_until = self._clock() + max(own_s if pause_s is None else pause_s, 0.001)

    def gave_up(self) -> None:
        """It ended for a reason of ours, which says nothing of the server."""
        with self._lock:
            self._is_probing = False
