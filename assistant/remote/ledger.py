"""The egress ledger: a line before anything leaves, a line when its outcome is known.

JSON lines in a file of the user's own, rotated by size. If it cannot be written nothing is sent. It
holds places, counts and names of kinds, never text. Knows no server and no policy.
"""

import contextlib
import itertools
import json
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from assistant.remote.errors import WithheldError
from model.paths import make_private

MAX_FILE_BYTES = 2 << 20
N_OLD_FILES = 4
_LOCK_S = 1.0
_MAX_LINE_BYTES = 1 << 16
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What left, or was about to."""

    id: str
    time: str
    provider: str
    host: str
    model: str
    file: str
    ranges: tuple[tuple[int, int], ...]
    bytes_sent: int
    redactions: Mapping[str, int]
    cost: float  # at most; the outcome's takes its place


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What came of it."""

    id: str
    outcome: str  # ok, or the error's kind
    bytes_sent: int  # 0 if nothing at all was sent, else as many as were meant to be
    bytes_received: int
    latency_ms: float
    prompt_tokens: int | None
    new_tokens: int | None
    cost: float


@dataclass(kw_only=True, slots=True)
class Totals:
    """Sums over a day, or over all."""

    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    redactions: int = 0
    cost: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)


def now() -> datetime:
    """Return the wall clock's time; for records only, never for durations."""
    return datetime.now(UTC)


class Ledger:
    """Appends from any thread and process; reads what is there."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = now) -> None:
        """Keep the ledger in `folder`, which is made when something is written."""
        self.path = folder / "egress.jsonl"
        self._lock = FileLock(str(folder / "egress.lock"), timeout=_LOCK_S, mode=0o600)
        self._clock = clock
        self._thread_lock = threading.Lock()
        self._count = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._day = _Day()

    def new_id(self) -> str:
        """Return an id that no other process gives."""
        return f"{self._run}-{next(self._count)}"

    def timestamp(self) -> str:
        """Return the time as the ledger writes it."""
        return self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def sent(self, row: Sent) -> None:
        """Write down what is about to leave; WithheldError if that is impossible."""
        self._append({"v": VERSION, "event": "sent", **asdict(row)})

    def ended(self, row: Ended) -> None:
        """Write down what came of it."""
        self._append({"v": VERSION, "event": "ended", **asdict(row)})

    def _append(self, row: Mapping[str, Any]) -> None:
        data = (json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n").encode()
        try:
            make_private(self.path.parent)
            with self._thread_lock, self._lock:
                self._rotate(len(data))
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
                handle = os.open(self.path, flags, 0o600)
                try:
                    _check_own(handle)
                    if os.write(handle, data) != len(data):
                        raise OSError("the disk is full")
                finally:
                    os.close(handle)
        except (OSError, Timeout):
            raise WithheldError(f"the ledger {self.path} cannot be written") from None

    def _rotate(self, n_bytes: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size + n_bytes <= MAX_FILE_BYTES:
                return
            for n in range(N_OLD_FILES - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    self._old(n).replace(self._old(n + 1))
            self.path.replace(self._old(1))

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
                for line in file:
                    row = _parsed(line)
                    if row is not None:
                        yield row

    def today(self) -> Totals:
        """Return what has been sent since midnight (UTC), by every process."""
        with self._thread_lock:
            return self._day.totals(self.path, self.rows, self._clock().date().isoformat())

    def clear(self) -> int:
        """Remove all files; return how many there were."""
        if not self.path.parent.is_dir():
            return 0
        with self._thread_lock, self._lock:
            paths = self.files()
            for path in paths:
                path.unlink(missing_ok=True)
        return len(paths)


class _Day:
    """Sums that grow with the file, so that asking is cheap."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._day = ""
        self._inode = -1
        self._position = 0
        self._tally = Tally()

    def totals(self, path: Path, rows: Callable[[], Iterator[dict[str, Any]]], day: str) -> Totals:
        try:
            info = path.stat()
        except OSError:
            self._forget()
            return Totals()
        if (day, info.st_ino) != (self._day, self._inode) or info.st_size < self._position:
            self._day, self._inode, self._position = day, info.st_ino, info.st_size
            self._tally = Tally(day)
            for row in rows():
                self._tally.add(row)
        elif info.st_size > self._position:
            with path.open("rb") as file:
                file.seek(self._position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._position += len(line)
                    new = _parsed(line)
                    if new is not None:
                        self._tally.add(new)
        return self._tally.totals


class Tally:
    """Joins the two rows of each request."""

    def __init__(self, day: str = "") -> None:
        self._day = day  # empty: all days
        self._open: dict[str, tuple[int, float]] = {}
        self.totals = Totals()

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row in."""
        totals, key = self.totals, str(row.get("id"))
        if row.get("event") == "sent" and str(row.get("time", "")).startswith(self._day):
            totals.requests += 1
            totals.bytes_sent += int(row.get("bytes_sent", 0))
            totals.redactions += sum(row.get("redactions", {}).values())
            totals.cost += float(row.get("cost", 0.0))
            self._open[key] = (int(row.get("bytes_sent", 0)), float(row.get("cost", 0.0)))
        elif row.get("event") == "ended" and key in self._open:
            n_bytes, cost = self._open.pop(key)
            totals.bytes_sent += int(row.get("bytes_sent", n_bytes)) - n_bytes
            totals.bytes_received += int(row.get("bytes_received", 0))
            totals.cost += float(row.get("cost", 0.0)) - cost
            outcome = str(row.get("outcome"))
            totals.outcomes[outcome] = totals.outcomes.get(outcome, 0) + 1


def _parsed(line: bytes) -> dict[str, Any] | None:
    if len(line) > _MAX_LINE_BYTES:
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(row, dict) and row.get("v") == VERSION
    return row if is_ours and isinstance(row.get("redactions", {}), dict) else None


def _check_own(handle: int) -> None:
    """Refuse a file that is not regular, or somebody else's; close it to others."""
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode):
        raise OSError("not a regular file")
    if os.name != "nt":
        if info.st_uid != os.geteuid():
            raise OSError("not ours")
        if stat.S_IMODE(info.st_mode) & 0o077:
            os.fchmod(handle, 0o600)
