"""Scores that were computed before, found again by the ids that they follow.

What a person types next is often what the network wrote a moment ago, so the same ids come again
key after key. A sequence of ids is named by a digest that grows with it: scores need no cache to be
true, and stay so when the cache has moved on. Knows ids and scores, and how much of them to keep.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from model.decode import Logits

MAX_KNOWN_BYTES = 8 << 20  # 512 rows of the bundled model's vocabulary
START = b""  # names no ids at all


def name_after(name: bytes, id_: int) -> bytes:
    """Return the name of the ids called `name` with one more behind them."""
    return blake2b(name + id_.to_bytes(8, "little", signed=True), digest_size=16).digest()


def names_after(name: bytes, ids: Iterable[int]) -> list[bytes]:
    """Return the names of `ids`, behind those called `name`, up to each of them."""
    found = []
    for id_ in ids:
        name = name_after(name, id_)
        found.append(name)
    return found


class LogitsCache:
    """A small LRU of scores (V,), which nobody may change."""

    def __init__(self) -> None:
        self._rows: OrderedDict[bytes, Logits] = OrderedDict()

    def get(self, name: bytes) -> Logits | None:
        """Return the scores after the ids called `name`; None if they have to be computed."""
        row = self._rows.get(name)
        if row is not None:
            self._rows.move_to_end(name)
        return row

    def put(self, name: bytes, row: Logits) -> None:
        """Keep the scores after the ids called `name`, and drop those not asked for the longest."""
        self._rows[name] = row
        self._rows.move_to_end(name)
        while len(self._rows) > max(1, MAX_KNOWN_BYTES // row.nbytes):
            self._rows.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()
