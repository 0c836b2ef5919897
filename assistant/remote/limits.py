"""When a server may not be asked: it keeps failing, or enough was sent.

A circuit breaker leaves a failing server alone, longer each time, then probes it. A budget counts
questions a minute, bytes and money a day; the day's sums come from the ledger, so they hold across
restarts and several editors, the minute is this process's own. Durations are by a monotonic clock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from assistant.remote.errors import WithheldError
from assistant.remote.ledger import Ledger
from assistant.remote.settings import RemoteSettings

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


_CHARS_PER_TOKEN = 2.5  # of code; low, so that an estimate is rather too dear
_MINUTE_S = 60.0


class Budget:
    """Asked before each attempt; used on one thread."""

    def __init__(
        self,
        settings: RemoteSettings,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._times: deque[float] = deque()

    def estimate(self, n_bytes: int) -> float:
        """Return what a question of so many bytes may cost at most."""
        return self.cost(round(n_bytes / _CHARS_PER_TOKEN), self._settings.max_new_tokens)

    def cost(self, prompt_tokens: int, new_tokens: int) -> float:
        """Return what so many tokens cost."""
        settings = self._settings
        return (prompt_tokens * settings.price_in + new_tokens * settings.price_out) / 1e6

    def take(self, n_bytes: int) -> None:
        """Count an attempt of `n_bytes` in; WithheldError if it would be too much."""
        settings, at = self._settings, self._clock()
        while self._times and at - self._times[0] >= _MINUTE_S:
            self._times.popleft()
        if len(self._times) >= settings.requests_per_minute:
            raise WithheldError(f"{settings.requests_per_minute} requests a minute are used up")
        today = self._ledger.today()
        if today.bytes_sent + n_bytes > settings.bytes_per_day:
            raise WithheldError(f"{settings.bytes_per_day} bytes a day are used up")
        cost = today.cost + self.estimate(n_bytes)
        if settings.money_per_day and cost > settings.money_per_day:
            raise WithheldError(f"{settings.money_per_day:g} of money a day are used up")
        self._times.append(at)
