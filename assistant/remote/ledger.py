"""The egress ledger: a line before anything leaves, a line when its outcome is known.

JSON lines in a file of the user's own, rotated by size. If it cannot be written nothing is sent. It
holds names of files, counts and names of kinds, never text. Knows no server and no policy.
"""

import contextlib
import itertools
import json
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from assistant.remote.errors import withheld

MAX_FILE_BYTES = 2 << 20
N_OLD_FILES = 4
_LOCK_S = 1.0
_MAX_LINE_BYTES = 1 << 16
VERSION = 1


@dataclass(kw_only=True)
class Totals:
    """Sums over a day, or over all; `add` joins the two rows of each request."""

    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    redactions: int = 0
    cost: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._open: dict[str, tuple[int, float]] = {}

    def add(self, row: Mapping[str, Any], day: str = "") -> None:
        """Count a row in; with `day`, only what was sent on it (YYYY-MM-DD)."""
        key = str(row.get("id"))
        n_bytes, cost = int(row.get("bytes_sent", 0)), float(row.get("cost", 0.0))
        if row.get("event") == "sent" and str(row.get("time", "")).startswith(day):
            self.requests += 1
            self.redactions += sum(row.get("redactions", {}).values())
            self._open[key] = (n_bytes, cost)
        elif row.get("event") == "ended" and key in self._open:
            meant_bytes, most_cost = self._open.pop(key)
            n_bytes, cost = n_bytes - meant_bytes, cost - most_cost
            self.bytes_received += int(row.get("bytes_received", 0))
            outcome = str(row.get("outcome"))
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        else:
            return
        self.bytes_sent += n_bytes
        self.cost += cost


class Ledger:
    """Appends from any thread and process; reads what is there."""

    def __init__(
        self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = folder / "egress.jsonl"
        self._lock = FileLock(str(folder / "egress.lock"), timeout=_LOCK_S, mode=0o600)
        self._clock = clock  # the wall's: for records, never for durations
        self._thread_lock = threading.Lock()
        self._count = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._today = Totals()
        self._counted = ("", -1, 0)  # in `_today`: day, file (inode), and its bytes so far

    def new_id(self) -> str:
        """Return an id that no other process gives."""
        return f"{self._run}-{next(self._count)}"

    def append(self, event: Literal["sent", "ended"], row: Mapping[str, Any]) -> None:
        """Write down what is about to leave, or what came of it; RemoteError if impossible."""
        full: dict[str, Any] = {"v": VERSION, "event": event}
        if event == "sent":
            full["time"] = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = (json.dumps(full | dict(row), separators=(",", ":")) + "\n").encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._thread_lock, self._lock:
                self._rotate(len(data))
                _write(self.path, data)
        except (OSError, Timeout):
            raise withheld(f"the ledger {self.path} cannot be written") from None

    def _rotate(self, n_bytes: int) -> None:
        if not self.path.is_file() or self.path.stat().st_size + n_bytes <= MAX_FILE_BYTES:
            return
        for n in range(N_OLD_FILES, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                (self._old(n - 1) if n > 1 else self.path).replace(self._old(n))

    def _old(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")

    def files(self) -> list[Path]:
        """Return the files that exist, oldest first."""
        paths = [*(self._old(n) for n in range(N_OLD_FILES, 0, -1)), self.path]
        return [path for path in paths if path.is_file()]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield all rows, oldest first; lines that are damaged are passed over."""
        for path in self.files():
            with contextlib.suppress(OSError), path.open("rb") as file:
                yield from _parse(file)

    def today(self) -> Totals:
        """Return what has been sent since midnight (UTC), by every process; cheap to ask."""
        with self._thread_lock, contextlib.suppress(OSError), self.path.open("rb") as file:
            info, day = os.fstat(file.fileno()), self._clock().date().isoformat()
            known_day, inode, position = self._counted
            if (known_day, inode) != (day, info.st_ino) or info.st_size < position:
                self._today, position = Totals(), 0
                for path in self.files()[:-1]:
                    with path.open("rb") as old:
                        self._add(_parse(old), day)
            file.seek(position)
            lines = [line for line in file if line.endswith(b"\n")]
            self._add(_parse(lines), day)
            self._counted = (day, info.st_ino, position + sum(map(len, lines)))
            return self._today
        return Totals()

    def _add(self, rows: Iterable[Mapping[str, Any]], day: str) -> None:
        for row in rows:
            self._today.add(row, day)

    def clear(self) -> int:
        """Remove all files; return how many there were."""
        if not self.path.parent.is_dir():
            return 0
        with self._thread_lock, self._lock:
            paths = self.files()
            for path in paths:
                path.unlink(missing_ok=True)
        return len(paths)


def _write(path: Path, data: bytes) -> None:
    """Append to a regular file of ours, closed to others; OSError otherwise."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o600)
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise OSError("not a regular file")
        if os.name != "nt" and info.st_uid != os.geteuid():
            raise OSError("not ours")
        if os.name != "nt" and stat.S_IMODE(info.st_mode) & 0o077:
            os.fchmod(handle, 0o600)
        if os.write(handle, data) != len(data):
            raise OSError("the disk is full")
    finally:
        os.close(handle)


def _parse(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line) if len(line) <= _MAX_LINE_BYTES else None
            if isinstance(row, dict) and row.get("v") == VERSION:
                if isinstance(row.get("redactions", {}), dict):
                    yield row
