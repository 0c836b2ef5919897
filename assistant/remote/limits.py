"""When a server may not be asked: it keeps failing, or enough was sent.

A circuit breaker leaves a failing server alone, longer each time, then probes it. A budget counts
requests a minute, bytes and money a day; the day's sums come from the ledger, so they hold across
restarts and several editors, the minute is this process's own. Durations are by a monotonic clock.
"""

import time
from collections import deque
from collections.abc import Callable

from assistant.remote.errors import withheld
from assistant.remote.ledger import Ledger
from assistant.remote.settings import RemoteSettings

THRESHOLD = 3  # failures in a row
FIRST_PAUSE_S = 5.0
MAX_PAUSE_S = 300.0
_CHARS_PER_TOKEN = 2.5  # of code; low, so that an estimate is rather too dear
_MINUTE_S = 60.0


class Breaker:
    """Closed: all pass. Open: none. Half-open: one, whose outcome decides.

    One thread enters and reports; `state`, `wait_s` and `may_pass` only look, from any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._n_failures = 0
        self._n_pauses = 0
        self._open_until: float | None = None
        self._is_probing = False

    @property
    def state(self) -> str:
        """Closed, open, or half-open."""
        if self._open_until is None:
            return "closed"
        return "open" if self.wait_s > 0 else "half-open"

    @property
    def wait_s(self) -> float:
        """How long the server is still left alone."""
        until = self._open_until
        return 0.0 if until is None else max(0.0, until - self._clock())

    def may_pass(self) -> bool:
        """Say whether a request would be let through now."""
        return self.state == "closed" or (self.state == "half-open" and not self._is_probing)

    def enter(self) -> bool:
        """Let one request through, or not; what is let through must report its outcome."""
        if not self.may_pass():
            return False
        self._is_probing = self.state == "half-open"
        return True

    def succeed(self) -> None:
        """Note that the server works."""
        self._n_failures = self._n_pauses = 0
        self._open_until = None
        self._is_probing = False

    def fail(self, pause_s: float | None = None) -> None:
        """Note that it does not; `pause_s` is how long it asked to be left alone."""
        was_probe, self._is_probing = self._is_probing, False
        self._n_failures += 1
        if self._n_failures < THRESHOLD and not was_probe and pause_s is None:
            return
        if pause_s is None:
            pause_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0**self._n_pauses)
        self._n_pauses = min(self._n_pauses + 1, 10)
        self._open_until = self._clock() + pause_s

    def give_up(self) -> None:
        """Note that it ended for a reason of ours, which says nothing of the server."""
        self._is_probing = False


class Budget:
    """Asked before each attempt, on one thread."""

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
        """Return what a request of so many bytes may cost at most."""
        return self.cost(round(n_bytes / _CHARS_PER_TOKEN), self._settings.max_new_tokens)

    def cost(self, prompt_tokens: int, new_tokens: int) -> float:
        """Return what so many tokens cost."""
        settings = self._settings
        return (prompt_tokens * settings.price_in + new_tokens * settings.price_out) / 1e6

    def take(self, n_bytes: int) -> None:
        """Count an attempt of `n_bytes` in; RemoteError (withheld) if it would be too much."""
        settings, now, today = self._settings, self._clock(), self._ledger.today()
        while self._times and now - self._times[0] >= _MINUTE_S:
            self._times.popleft()
        if len(self._times) >= settings.requests_per_minute:
            raise withheld(f"{settings.requests_per_minute} requests a minute are used up")
        if today.bytes_sent + n_bytes > settings.bytes_per_day:
            raise withheld(f"{settings.bytes_per_day} bytes a day are used up")
        cost = today.cost + self.estimate(n_bytes)
        if settings.money_per_day and cost > settings.money_per_day:
            raise withheld(f"{settings.money_per_day:g} of money a day are used up")
        self._times.append(now)
