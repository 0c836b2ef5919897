"""A runtime together with the ids that its cache holds, and what it computed before.

The one place where ids and cache can get out of step, so the one place that keeps them in step.
Two memories save time. Scores are remembered by the ids before them, and so is what a token leaves
in the cache (its state): walking again along what the network wrote, or along a tree that it
scored, runs nothing, and only the tokens that leave it are run. And caches are copied: going to and
fro between documents, or undoing an edit behind the cursor, finds the one of before; a copy costs
about what running one token costs. Knows nothing of prompts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.lru import LRU
from model.runtime import Logits, Runtime, check_parents

MAX_KEPT = 8
MAX_KEPT_BYTES = 64 << 20  # of all copies; the bundled model needs 1 MB for each
MAX_KNOWN_BYTES = 8 << 20  # of scores: 512 rows of the bundled model's vocabulary
WORTH_TOKENS = 48  # a difference of fewer is computed again
MAX_BEHIND = 64  # ids whose scores are known and that are not in the cache yet
MAX_LEARNT = 24  # ids of a call whose states are remembered: more are a prompt that is read


def name_after(name: bytes, id_: int) -> bytes:
    """Return the name of a sequence of ids with one more behind it; b"" names no ids at all."""
    return blake2b(name + id_.to_bytes(8, "little", signed=True), digest_size=16).digest()


class _Kept(NamedTuple):
    ids: list[int]
    names: list[bytes]
    cache: NDArray[Any]


class PrefixCache:
    """Append and rewind as the runtime does, and run only what was not run before."""

    def __init__(self, runtime: Runtime) -> None:
        # Its cache holds the first of the ids, at most MAX_BEHIND fewer than all.
        self._runtime = runtime
        self._ids: list[int] = []
        self._names: list[bytes] = []  # of the ids up to each of them
        # Scores (V,), which nobody may change, by the name of the ids before.
        self._known = LRU[bytes, Logits](max(1, MAX_KNOWN_BYTES // (4 * runtime.vocab_size)))
        self._states = LRU[bytes, NDArray[Any]](self._known.size)  # 3 MB of the bundled model's
        self._kept: list[_Kept] = []  # the latest last
        self.max_kept = MAX_KEPT
        self.n_foreseen = 0  # ids appended so far that did not have to be run

    @property
    def length(self) -> int:
        """Tokens held: in the cache, or known to fit behind it."""
        return len(self._ids)

    def append(self, ids: Sequence[int]) -> Logits:
        """Add `ids`; return the scores after the last of them, which nobody may change."""
        if not ids:
            raise ValueError("ids must not be empty")
        _, *names = accumulate(ids, name_after, initial=self._name)
        row = self._known.use(names[-1])
        is_near = len(self._ids) + len(ids) - self._runtime.length <= MAX_BEHIND
        if row is not None and is_near:
            self.n_foreseen += len(ids)
        else:
            n_run = self._runtime.length
            row = self._run([*self._ids[n_run:], *ids], [*self._names[n_run:], *names])
        self._ids.extend(ids)
        self._names.extend(names)
        return row

    def rewind(self, length: int) -> None:
        """Keep the first `length` tokens; ValueError unless there are so many."""
        if not 0 <= length <= len(self._ids):
            raise ValueError(f"cannot rewind to {length}: {len(self._ids)} tokens are held")
        if length < self._runtime.length:
            self._runtime.rewind(length)
        del self._ids[length:]
        del self._names[length:]

    @property
    def room(self) -> int:
        """How many tokens more the cache can hold."""
        return self._runtime.max_len - len(self._ids)

    def tree(self, ids: Sequence[int], parents: Sequence[int]) -> NDArray[np.float32]:
        """Return the scores after each node of a tree (see `Runtime.tree`); the cache stays."""
        if not ids:
            raise ValueError("ids must not be empty")
        check_parents(parents, len(ids))
        names: list[bytes] = []
        for id_, parent in zip(ids, parents, strict=True):
            names.append(name_after(names[parent] if parent >= 0 else self._name, id_))
        rows = {name: row for name in names if (row := self._known.use(name)) is not None}
        if not rows.keys() >= set(names):
            self._run_nodes(ids, parents, names, rows)
        return np.stack([rows[name] for name in names])

    def _run_nodes(
        self,
        ids: Sequence[int],
        parents: Sequence[int],
        names: Sequence[bytes],
        rows: dict[bytes, Logits],
    ) -> None:
        """Run the nodes that have no row, and those before them where they must be; add rows."""
        needed = {node for node, name in enumerate(names) if name not in rows}
        for node in range(len(ids) - 1, -1, -1):
            if node in needed and parents[node] >= 0:
                needed.add(parents[node])
        nodes = sorted(needed)
        if waiting := self._ids[self._runtime.length :]:
            self._run(waiting, self._names[self._runtime.length :])
        trunk = []  # nodes that all the others come behind, as long as nothing has to be run for it
        while names[nodes[0]] in rows and (state := self._states.use(names[nodes[0]])) is not None:
            if any(parents[node] == parents[nodes[0]] for node in nodes[1:]):
                break
            trunk.append(state)
            del nodes[0]
        place = {node: number for number, node in enumerate(nodes)}
        length = self._runtime.length
        with self._forgetting():
            self._runtime.extend(trunk)
            found = self._runtime.tree(
                [ids[node] for node in nodes], [place.get(parents[node], -1) for node in nodes]
            )
            self._learn([names[node] for node in nodes])
            self._runtime.rewind(length)
        for node, row in zip(nodes, found, strict=True):
            if names[node] not in rows:
                rows[names[node]] = row.copy()  # a view would keep all rows alive
                self._known.put(names[node], rows[names[node]])

    @property
    def _name(self) -> bytes:
        return self._names[-1] if self._names else b""

    def _run(self, ids: Sequence[int], names: Sequence[bytes]) -> Logits:
        """Put ids of these names into the cache, run if need be; return the last one's scores."""
        row = self._known.use(names[-1])
        n_known = 0
        while n_known < len(names) - (row is None) and names[n_known] in self._states:
            n_known += 1
        with self._forgetting():
            self._runtime.extend([self._states[name] for name in names[:n_known]])
            if row is None or n_known < len(names):
                row = self._runtime.append(ids[n_known:])
                self._learn(names[n_known:])
        self._known.put(names[-1], row)
        return row

    def _learn(self, names: Sequence[bytes]) -> None:
        """Remember what the ids of the last call left in the cache."""
        if len(names) <= MAX_LEARNT:
            for name, state in zip(names, self._runtime.states(), strict=False):
                self._states.put(name, state)

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Start from nothing where a call fails half-way: nobody trusts that cache."""
        try:
            yield
        except BaseException:
            self._ids, self._names = [], []
            self._known.clear()
            self._states.clear()
            self._runtime.rewind(0)
            raise

    def replace(
        self, ids: Sequence[int], *, chunk_tokens: int, should_stop: Callable[[], bool]
    ) -> tuple[Logits | None, int]:
        """Hold exactly `ids`; return the scores after them and how many of them were held before.

        Stops between two chunks when told to, without scores; what was added by then stays and is
        reused later.
        """
        n_shared = _common(self._ids, ids)
        if len(ids) - n_shared > WORTH_TOKENS:
            n_shared = self._switch(ids, n_shared)
        n_shared = min(n_shared, len(ids) - 1)  # the last one's scores are wanted
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
        n_run = self._runtime.length
        if n_run - n_shared > WORTH_TOKENS:
            copy = _Kept(self._ids[:n_run], self._names[:n_run], self._runtime.save())
            self._kept.append(copy)
        while len(self._kept) > self.max_kept or self._n_kept_bytes() > MAX_KEPT_BYTES:
            del self._kept[0]
        if found is None:
            return n_shared
        self._runtime.restore(found.cache)
        self._ids, self._names = found.ids, found.names
        return _common(found.ids, ids)

    def _n_kept_bytes(self) -> int:
        return sum(kept.cache.nbytes for kept in self._kept)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many leading ids are the same."""
    n_both = min(len(left), len(right))
    return next((i for i in range(n_both) if left[i] != right[i]), n_both)
