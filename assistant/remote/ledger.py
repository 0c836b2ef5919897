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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from assistant.remote.errors import withheld

MAX_FILE_BYTES = 2 << 20
N_OLD_FILES = 4
VERSION = 1
_LOCK_S = 1.0
_MAX_LINE_BYTES = 1 << 16
_MAX_NUMBER = 1e15  # of anything that is counted here
_TEXTS = ("time", "provider", "host", "model", "file", "outcome")
_NUMBERS = ("bytes_sent", "bytes_received", "latency_ms", "prompt_tokens", "new_tokens", "cost")
_SUMMED = ("bytes_sent", "bytes_received", "cost")

Row = dict[str, Any]


class Ledger:
    """Appends from any thread and process; reads what is there."""

    def __init__(
        self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = folder / "egress.jsonl"
        self.n_damaged = 0  # lines that `rows` has passed over
        self._lock = FileLock(str(folder / "egress.lock"), timeout=_LOCK_S, mode=0o600)
        self._clock = clock  # the wall's: for records, never for durations
        self._count = itertools.count(1)
        self._run = secrets.token_hex(4)
        self._today: dict[str, Row] = {}
        self._counted = ("", -1, 0)  # in `_today`: day, file (inode), and its bytes so far

    def begin(self, row: Mapping[str, Any]) -> str:
        """Write down what is about to leave; return its id. RemoteError if impossible."""
        key = f"{self._run}-{next(self._count)}"  # no other process gives it
        time = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._append({"v": VERSION, "event": "sent", "time": time, "id": key} | dict(row))
        return key

    def end(self, key: str, row: Mapping[str, Any]) -> None:
        """Write down what came of it; RemoteError if impossible."""
        self._append({"v": VERSION, "event": "ended", "id": key} | dict(row))

    def _append(self, row: Row) -> None:
        data = (json.dumps(row, separators=(",", ":")) + "\n").encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock:
                if self.path.is_file() and self.path.stat().st_size + len(data) > MAX_FILE_BYTES:
                    self._rotate()
                _write(self.path, data)
        except OSError:  # also where another process holds the lock
            raise withheld(f"the ledger {self.path} cannot be written") from None

    def _rotate(self) -> None:
        for n in range(N_OLD_FILES, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                (self._old(n - 1) if n > 1 else self.path).replace(self._old(n))

    def _old(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")

    def files(self) -> list[Path]:
        """Return the files that exist, oldest first."""
        paths = [*(self._old(n) for n in range(N_OLD_FILES, 0, -1)), self.path]
        return [path for path in paths if path.is_file()]

    def rows(self) -> Iterator[Row]:
        """Yield all rows, oldest first; lines that are damaged are passed over."""
        self.n_damaged = 0
        for path in self.files():
            yield from self._parse(_lines_of(path))

    def today(self) -> dict[str, Any]:
        """Return the sums since midnight (UTC), of every process; cheap to ask, on one thread."""
        inode, size, day = -1, 0, self._clock().date().isoformat()
        with contextlib.suppress(OSError):
            inode, size = self.path.stat().st_ino, self.path.stat().st_size
        known_day, known_inode, position = self._counted
        if (known_day, known_inode) != (day, inode) or size < position:
            self._today, position = {}, 0
            for path in self.files():
                if path != self.path:
                    join_rows(self._parse(_lines_of(path)), self._today, day)
        lines = _lines_of(self.path, position)
        join_rows(self._parse(lines), self._today, day)
        self._counted = (day, inode, position + sum(map(len, lines)))
        return sum_up(self._today.values())

    def _parse(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for line in lines:
            row: Any = None
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line) if len(line) <= _MAX_LINE_BYTES else None
            if isinstance(row, dict) and _is_sound(row):
                yield row
            else:
                self.n_damaged += 1

    def clear(self) -> int:
        """Remove all files; return how many there were."""
        if not self.path.parent.is_dir():
            return 0
        with self._lock:
            paths = self.files()
            for path in paths:
                path.unlink(missing_ok=True)
        return len(paths)


def join_rows(rows: Iterable[Row], requests: dict[str, Row], day: str = "") -> None:
    """Add what was sent (on `day`, YYYY-MM-DD) to `requests`, each with what came of it by now.

    Before that is known, the outcome is "unknown".
    """
    for row in rows:
        key, fields = row["id"], {name: row[name] for name in row.keys() - {"v", "event"}}
        if row["event"] == "sent" and str(row.get("time", "")).startswith(day):
            requests[key] = fields | {"outcome": "unknown"}
        elif row["event"] == "ended" and key in requests:
            requests[key] |= fields


def sum_up(requests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums over joined rows."""
    sums: dict[str, Any] = {"requests": 0, "redactions": 0} | dict.fromkeys(_SUMMED, 0)
    outcomes: Counter[str] = Counter()
    for row in requests:
        sums["requests"] += 1
        sums["redactions"] += sum(row.get("redactions", {}).values())
        for name in _SUMMED:
            sums[name] += row.get(name) or 0
        outcomes[row["outcome"]] += 1
    del outcomes["unknown"]
    return sums | {"outcomes": dict(outcomes)}


def _lines_of(path: Path, position: int = 0) -> list[bytes]:
    """Return the whole lines after `position`; none where nothing can be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(position)
        return [line for line in file if line.endswith(b"\n")]
    return []


def _is_sound(row: Row) -> bool:
    """Say whether a row is one of ours: what is absurd in it must not end up in a sum."""
    ranges, redactions = row.get("ranges", []), row.get("redactions", {})
    return (
        row.get("v") == VERSION
        and row.get("event") in ("sent", "ended")
        and isinstance(row.get("id"), str)
        and all(isinstance(row.get(name, ""), str) for name in _TEXTS)
        and all(row.get(name) is None or _is_number(row[name]) for name in _NUMBERS)
        and isinstance(redactions, dict)
        and all(map(_is_number, redactions.values()))
        and isinstance(ranges, list)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in ranges)
        and all(map(_is_number, itertools.chain(*ranges)))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MAX_NUMBER


def _write(path: Path, data: bytes) -> None:
    """Append to a regular file of ours, closed to others; OSError otherwise."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o600)
    try:
        info = os.fstat(handle)
        is_ours = os.name == "nt" or info.st_uid == os.geteuid()
        if not (stat.S_ISREG(info.st_mode) and is_ours):
            raise OSError("no regular file of ours")
        if os.name != "nt" and stat.S_IMODE(info.st_mode) & 0o077:
            os.fchmod(handle, 0o600)
        if os.write(handle, data) != len(data):
            os.ftruncate(handle, info.st_size)  # half a line would spoil the next one
            raise OSError("the disk is full")
    finally:
        os.close(handle)
