"""Scores that were computed before, found again by the ids that they follow.

What a person types next is often what the network wrote a moment ago, so the same ids come again
key after key. A sequence of ids is named by a digest that grows with it: scores need no cache to be
true, and stay so when the cache has moved on. Knows ids and scores, and how much of them to keep.
"""

from collections.abc import Iterable
from hashlib import blake2b

from model.decode import Logits
from model.lru import LRU

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


def make_logits_cache(vocab_size: int) -> LRU[bytes, Logits]:
    """Return a cache for scores (V,), which nobody may change, by the name of the ids before."""
    return LRU(max(1, MAX_KNOWN_BYTES // (4 * vocab_size)))
