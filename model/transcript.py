"""A runtime together with the ids that its cache holds.

The one place where ids and cache can get out of step, so the one place that keeps them in step.
Knows nothing of prompts or text.
"""

from collections.abc import Callable, Sequence

from model.decode import Logits
from model.runtime import Runtime


class Transcript:
    """Append and rewind as the runtime does, and reuse what a new prompt shares with the last."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ids: list[int] = []

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return len(self._ids)

    def append(self, ids: Sequence[int]) -> Logits:
        """Add `ids`; return the scores after the last of them."""
        try:
            logits = self._runtime.append(ids)
        except BaseException:
            self._forget()
            raise
        self._ids.extend(ids)
        return logits

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens."""
        self._runtime.rewind(length)
        del self._ids[length:]

    def replace(
        self, ids: Sequence[int], *, chunk_tokens: int, should_stop: Callable[[], bool]
    ) -> tuple[Logits | None, int]:
        """Make the cache hold exactly `ids`; return the scores after them and how many were there.

        The last id is always run again: its scores are wanted and were not kept. Stops between two
        chunks when told to, without scores; what was added by then stays and is reused later.
        """
        n_shared = min(_common(self._ids, ids), len(ids) - 1)
        if n_shared < len(self._ids):
            self.rewind(n_shared)
        logits: Logits | None = None
        for start in range(n_shared, len(ids), chunk_tokens):
            if should_stop():
                return None, n_shared
            logits = self.append(ids[start : start + chunk_tokens])
        return logits, n_shared

    def _forget(self) -> None:
        """Start from nothing: a call that failed half-way leaves a cache that nobody trusts."""
        self._ids = []
        self._runtime.rewind(0)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many leading ids are the same."""
    n_both = min(len(left), len(right))
    return next((i for i in range(n_both) if left[i] != right[i]), n_both)
