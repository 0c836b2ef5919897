"""Duplicates: of texts that are equal or nearly so one is kept, whichever repository has it first.

Equal up to white space costs 16 bytes a text; nearly equal is `training.data.minhash`'s business.
"""

from __future__ import annotations

import hashlib

import rensa

from training.data.minhash import MinHashIndex

NEAR_EVALUATION = "near an evaluation file"


def fingerprint(text: str) -> bytes:
    """Return 16 bytes that two texts share if they differ in white space only."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


class SeenTexts:
    """The fingerprints seen so far."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, text_fingerprint: bytes) -> bool:
        """Remember it; return False if it was there before."""
        if text_fingerprint in self._seen:
            return False
        self._seen.add(text_fingerprint)
        return True


class Duplicates:
    """What was kept so far, and what models are judged by: a text near either stays out."""

    def __init__(self, threshold: float) -> None:
        self._exact = SeenTexts()
        self._near = MinHashIndex(threshold) if threshold else None
        self._judged = MinHashIndex(threshold) if threshold else None

    def keep_out(self, sketch: rensa.RMinHash | None) -> None:
        """Remember a text of an evaluation set."""
        if self._judged is not None and sketch is not None:
            self._judged.add(sketch)

    def reason(self, text_fingerprint: bytes, sketch: rensa.RMinHash | None) -> str:
        """Return why a text stays out; "" if it does not, and then it is remembered."""
        if not self._exact.add(text_fingerprint):
            return "duplicate"
        if sketch is None or self._near is None or self._judged is None:
            return ""
        if self._judged.holds(sketch):
            return NEAR_EVALUATION
        return "" if self._near.add(sketch) else "near duplicate"
