"""How much may still be sent: questions a minute, bytes and money a day.

The day's sums come from the ledger, so they hold across restarts and several editors; the minute is
this process's own, by the monotonic clock.
"""

import time
from collections import deque
from collections.abc import Callable

from assistant.remote.errors import WithheldError
from assistant.remote.ledger import Ledger
from assistant.remote.settings import RemoteSettings

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
