"""A dictionary of what was used last. Not safe for several threads: the owner has the lock."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRU(OrderedDict[K, V]):
    """At most `size` entries; `put` drops the one whose `put` or `use` is longest ago."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def use(self, key: K) -> V | None:
        """Return a value and count it as used now; None if it is not there."""
        if key in self:
            self.move_to_end(key)
        return self.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value, used now."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self.size:
            self.popitem(last=False)
