"""A runtime together with the ids that its cache holds, and copies of what it held before.

The one place where ids and cache can get out of step, so the one place that keeps them in step.
Going to and fro between documents, or undoing an edit behind the cursor, finds the cache of before
again: a copy of it costs about what running one token costs. Knows nothing of prompts or text.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.decode import Logits
from model.runtime import Runtime

MAX_KEPT = 8
MAX_KEPT_BYTES = 64 << 20  # of all copies; the bundled model needs 1 MB for each
WORTH_TOKENS = 48  # a difference of fewer is computed again


class _Kept(NamedTuple):
    ids: list[int]
    cache: NDArray[np.float32]


class Transcript:
    """Append and rewind as the runtime does, and reuse what a new prompt shares with old ones."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ids: list[int] = []
        self._kept: list[_Kept] = []  # the latest last

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

    @property
    def room(self) -> int:
        """How many tokens more the cache can hold."""
        return self._runtime.max_len - len(self._ids)

    def tree(self, ids: Sequence[int], parents: Sequence[int]) -> NDArray[np.float32]:
        """Return the scores after each node of a tree (see `Runtime.tree`); the cache stays."""
        try:
            return self._runtime.tree(ids, parents)
        except BaseException:
            self._forget()
            raise

    def replace(
        self, ids: Sequence[int], *, chunk_tokens: int, should_stop: Callable[[], bool]
    ) -> tuple[Logits | None, int]:
        """Make the cache hold exactly `ids`; return the scores after them and how many were there.

        The last id is always run again: its scores are wanted and were not kept. Stops between two
        chunks when told to, without scores; what was added by then stays and is reused later.
        """
        n_shared = _common(self._ids, ids)
        if len(ids) - n_shared > WORTH_TOKENS:
            n_shared = self._switch(ids, n_shared)
        n_shared = min(n_shared, len(ids) - 1)
        if n_shared < len(self._ids):
            self.rewind(n_shared)
        logits: Logits | None = None
        for start in range(n_shared, len(ids), chunk_tokens):
            if should_stop():
                return None, n_shared
            logits = self.append(ids[start : start + chunk_tokens])
        return logits, n_shared

    def _switch(self, ids: Sequence[int], n_shared: int) -> int:
        """Keep a copy of the cache and take the one that shares more with `ids`, if there is one.

        Returns how many tokens the cache shares with `ids` then.
        """
        shared = [_common(kept.ids, ids) for kept in self._kept]
        best = max(range(len(shared)), key=shared.__getitem__, default=None)
        is_better = best is not None and shared[best] - n_shared > WORTH_TOKENS
        found = self._kept.pop(best) if best is not None and is_better else None
        if len(self._ids) - n_shared > WORTH_TOKENS:
            self._kept.append(_Kept(self._ids.copy(), self._runtime.save()))
        while len(self._kept) > MAX_KEPT or self._n_kept_bytes() > MAX_KEPT_BYTES:
            del self._kept[0]
        if found is None:
            return n_shared
        self._runtime.restore(found.cache)
        self._ids = found.ids
        return _common(found.ids, ids)

    def _n_kept_bytes(self) -> int:
        return sum(kept.cache.nbytes for kept in self._kept)

    def _forget(self) -> None:
        """Start from nothing: a call that failed half-way leaves a cache that nobody trusts."""
        self._ids = []
        self._runtime.rewind(0)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many leading ids are the same."""
    n_both = min(len(left), len(right))
    return next((i for i in range(n_both) if left[i] != right[i]), n_both)
