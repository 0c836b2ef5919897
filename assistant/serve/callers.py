"""Who asks: keys, how often each may, and whose turn it is before the one network.

A caller is known by the digest of a key. Belongs to one event loop.
"""

import asyncio
import hashlib
import hmac
import math
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from starlette.exceptions import HTTPException

from assistant.errors import SettingsError
from model.files import read_regular

_KEY = re.compile(r"[!-~]{16,4096}")
MAX_WAITING = 32  # requests of one caller
_MAX_FILE_BYTES = 1 << 20


class Callers:
    """The keys of a server, and what each may send; without any, all are one caller."""

    def __init__(self, keys: Sequence[str], per_minute: int) -> None:
        self.digests = [_digest(key) for key in keys]
        self._per_minute = per_minute
        self._left: dict[bytes, tuple[float, float]] = {}  # of each: requests, at which time

    def find(self, authorization: str) -> bytes:
        """Return the caller of a header, b"" where no keys are; HTTPException for a wrong key."""
        kind, _, key = authorization.partition(" ")
        given = _digest(key.strip() if kind.lower() == "bearer" else "")
        # All are compared: the time says nothing.
        found = [digest for digest in self.digests if hmac.compare_digest(given, digest)]
        if self.digests and not found:
            headers = {"WWW-Authenticate": "Bearer"}
            raise HTTPException(401, "the API key is missing or wrong", headers)
        return found[0] if found else b""

    def count(self, caller: bytes) -> None:
        """Take one request from what a caller may send; HTTPException if nothing is left."""
        now, most = time.monotonic(), self._per_minute
        left, then = self._left.get(caller, (float(most), now))
        left = min(most, left + (now - then) * most / 60)
        self._left[caller] = (left - (left >= 1), now)
        if left < 1:
            headers = {"Retry-After": str(math.ceil((1 - left) * 60 / most))}
            raise HTTPException(429, f"more than {most} requests a minute", headers)


def read_keys(file: str, key: str) -> list[str]:
    """Return `key` and those in a file, one a line; SettingsError says what is wrong, not a key."""
    keys = [key] if key else []
    if file:
        path = Path(file).expanduser()
        if os.name != "nt" and path.exists() and path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} is open to other users: chmod 600 {path}")
        text = read_regular(path, _MAX_FILE_BYTES).decode("utf-8-sig", "replace")
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        keys += filter(None, lines)
        if not any(lines):
            raise SettingsError(f"{path} holds no key")
    if not all(map(_KEY.fullmatch, keys)):
        raise SettingsError("a key has 16..4096 ASCII characters, and no space")
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class Turns:
    """One turn at a time: callers in rotation, and the requests of each as they came.

    So one that asks a hundred times at once delays another by one answer, not by a hundred.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}  # the next caller first
        self._is_taken = False
        self.n_waiting = 0  # requests, of all callers

    async def acquire(self, caller: bytes) -> None:
        """Wait for a turn, which `release` must end; HTTPException if too many wait already."""
        if not self._is_taken:
            self._is_taken = True
            return
        line = self._waiting.setdefault(caller, [])
        line[:] = [place for place in line if not place.cancelled()]
        if len(line) >= MAX_WAITING:
            raise HTTPException(429, f"{MAX_WAITING} requests wait already", {"Retry-After": "1"})
        place = asyncio.get_running_loop().create_future()
        line.append(place)
        self.n_waiting += 1
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # its turn came at the same moment
                self.release()
            raise
        finally:
            self.n_waiting -= 1

    def release(self) -> None:
        """End a turn, and begin the next one if anybody waits."""
        while self._waiting:
            caller, line = next(iter(self._waiting.items()))
            del self._waiting[caller]
            waiting = [place for place in line if not place.cancelled()]
            if len(waiting) > 1:
                self._waiting[caller] = waiting[1:]  # behind all others
            if waiting:
                return waiting[0].set_result(None)
        self._is_taken = False
