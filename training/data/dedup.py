"""Exact duplicates: the same text up to white space is read once, whichever repository has it.

Keeps 16 bytes for each text seen. Near duplicates are not its business.
"""

from __future__ import annotations

import hashlib


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
