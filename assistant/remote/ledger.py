"""The egress ledger: a row before anything leaves, completed when its outcome is known.

A SQLite file of the user's own, with the newest requests. If it cannot be written nothing is sent.
It holds names of files, counts and names of kinds, never text.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistant.errors import withheld
from model.database import open_database

MAX_ROWS = 20_000
UNKNOWN = "unknown"  # the outcome, until it is known
_BUSY_S = 10.0  # granted to another process that is writing
_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
  id INTEGER PRIMARY KEY, time TEXT, provider TEXT, host TEXT, model TEXT, file TEXT, ranges TEXT,
  redactions TEXT, replaced INTEGER, outcome TEXT, bytes_sent INTEGER, bytes_received INTEGER,
  latency_ms REAL, prompt_tokens INTEGER, new_tokens INTEGER
)
"""
_BEGIN = """
INSERT INTO requests
  (time, provider, host, model, file, ranges, redactions, replaced, outcome, bytes_sent)
VALUES
  (:time, :provider, :host, :model, :file, :ranges, :redactions, :replaced, :outcome, :bytes_sent)
"""
_END = """
UPDATE requests SET outcome = :outcome, bytes_sent = :bytes_sent, bytes_received = :bytes_received,
  latency_ms = :latency_ms, prompt_tokens = :prompt_tokens, new_tokens = :new_tokens
WHERE id = :id
"""
_SUMS = """
SELECT COUNT(*) AS requests, IFNULL(SUM(replaced), 0) AS redactions,
  IFNULL(SUM(bytes_sent), 0) AS bytes_sent, IFNULL(SUM(bytes_received), 0) AS bytes_received,
  IFNULL(SUM(prompt_tokens), 0) AS prompt_tokens, IFNULL(SUM(new_tokens), 0) AS new_tokens
FROM requests WHERE time LIKE ? || '%'
"""
_OUTCOMES = "SELECT outcome, COUNT(*) FROM requests WHERE time LIKE ? || '%' GROUP BY outcome"

_SUMMED = "requests redactions bytes_sent bytes_received prompt_tokens new_tokens".split()

Row = dict[str, Any]


class Ledger:
    """Written and read from any thread and process; RemoteError if the file cannot be used."""

    def __init__(
        self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = folder / "egress.sqlite"
        self._clock = clock  # the wall's: for records, never for durations

    def begin(self, row: Mapping[str, Any]) -> int:
        """Write down what is about to leave; return its id."""
        fields = {
            "time": self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **row,
            "ranges": json.dumps(row["ranges"]),
            "redactions": json.dumps(row["redactions"]),
            "replaced": sum(row["redactions"].values()),
            "outcome": UNKNOWN,
        }
        with self._open() as connection:
            key = connection.execute(_BEGIN, fields).lastrowid or 0
            connection.execute("DELETE FROM requests WHERE id <= ?", (key - MAX_ROWS,))
        return key

    def end(self, key: int, row: Mapping[str, Any]) -> None:
        """Write down what came of it."""
        with self._open() as connection:
            connection.execute(_END, {**row, "id": key})

    def rows(self) -> list[Row]:
        """Return all requests, oldest first."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute("SELECT * FROM requests ORDER BY id").fetchall()
            read = ("ranges", "redactions")
            return [{**row} | {name: json.loads(row[name]) for name in read} for row in rows]

    def sums(self, day: str = "") -> Row:
        """Return the sums over all requests, or over those of a day (YYYY-MM-DD, UTC)."""
        if not self.path.exists():
            return dict.fromkeys(_SUMMED, 0) | {"outcomes": {}}
        with self._open() as connection:
            sums = dict(connection.execute(_SUMS, (day,)).fetchone())
            outcomes = dict(map(tuple, connection.execute(_OUTCOMES, (day,))))
        outcomes.pop(UNKNOWN, None)
        return sums | {"outcomes": outcomes}

    def today(self) -> Row:
        """Return the sums since midnight (UTC), of every process."""
        return self.sums(self._clock().date().isoformat())

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with open_database(self.path, _SCHEMA, timeout_s=_BUSY_S) as connection:
                connection.row_factory = sqlite3.Row
                yield connection
        except (OSError, sqlite3.Error, ValueError, TypeError) as error:  # or what others wrote
            why = f" ({error})" if isinstance(error, sqlite3.Error) else ""
            mend = "make it writable, with room, or move it away"
            raise withheld(f"the ledger {self.path} cannot be used{why}; {mend}") from None
