"""Counts of what was shown and what became of it, by day and language, on this machine only.

A small SQLite file in the user's data folder, closed to others; it holds no text and no name of a
file. Servers add to it, `foretype stats` reads it, and the gate follows it by a small step; what is
wrong with it costs counts, no more.
"""

import datetime
import logging
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from assistant.errors import AssistantError
from model.database import open_database
from model.paths import data_folder

KEPT_DAYS = 366
STEP = 0.05  # the most by which the counts move the probability from which something is shown
STEP_DAYS = 30  # the counts that do
MIN_ENDED = 100  # texts of which is known what became: with fewer, no step
_BUSY_S = 1.0  # granted to another server that is writing
_READ_BUSY_S = 20.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counts (
  day TEXT, language TEXT, name TEXT, n INTEGER, PRIMARY KEY (day, language, name)
) WITHOUT ROWID
"""
_ADD = "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"

log = logging.getLogger(__name__)

Row = tuple[str, str, str, int]  # day (YYYY-MM-DD), language, name, count


class StatisticsError(AssistantError):
    """The file cannot be used; the message says why and how to mend it."""


class Statistics:
    """Adds up on any thread; writes when it is told to."""

    def __init__(self, today: Callable[[], datetime.date] = datetime.date.today) -> None:
        self._today = today  # the user's own day
        self.since_start: Counter[str] = Counter()  # by name
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()
        self._saving = threading.Lock()  # who ends the process waits for whoever writes
        self._has_failed = False

    def add(self, language: str, name: str, n: int = 1) -> None:
        """Count; `name` and `language` are words of ours."""
        with self._lock:
            self._counts[self._today().isoformat(), language, name] += n
            self.since_start[name] += n

    def save(self) -> None:
        """Add to the file; what cannot be written is tried again the next time."""
        with self._saving:
            with self._lock:
                counts, self._counts = self._counts, Counter()
            try:
                if counts:
                    _write([(*key, n) for key, n in counts.items()])
            except (OSError, sqlite3.Error) as error:
                with self._lock:
                    self._counts += counts
                if not self._has_failed:
                    log.warning("statistics cannot be written: %s", type(error).__name__)
                self._has_failed = True


def statistics_path() -> Path:
    """Return where the file is; it need not exist."""
    return data_folder() / "stats.sqlite"


def read(first_day: str = "") -> list[Row]:
    """Return the counts from a day on; StatisticsError if the file is damaged or not ours."""
    path = statistics_path()
    if not path.exists():
        return []
    try:
        with open_database(path, _SCHEMA, timeout_s=_READ_BUSY_S) as connection:
            query = "SELECT day, language, name, n FROM counts WHERE day >= ? AND n >= 0"
            rows = connection.execute(query, (first_day,)).fetchall()
    except (OSError, sqlite3.Error) as error:
        mend = "`foretype stats --reset` removes it"
        raise StatisticsError(f"{path} cannot be read ({error}); {mend}") from error
    return [(str(day), str(language), str(name), int(n)) for day, language, name, n in rows]


def find_steps() -> dict[str, float]:
    """Return the step of each language that has one; none where the file cannot be read."""
    first = datetime.date.today() - datetime.timedelta(STEP_DAYS - 1)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    try:
        for _, language, name, n in read(first.isoformat()):
            counts[language][name] += n
    except StatisticsError:
        return {}
    return {language: found for language, its in counts.items() if (found := step(its))}


def step(counts: Mapping[str, int]) -> float:
    """Return how much surer than the setting `show` says a text must be here, within ±STEP.

    That is by how much more often texts were claimed to be right than they were taken and kept, or
    typed through; the fewer there were, the less of it.
    """
    n = counts["ended"]
    if n < MIN_ENDED:
        return 0.0
    kept = counts["kept_30"] / counts["looked_30"] if counts["looked_30"] else 1.0
    of_use = counts["typed"] + kept * (counts["whole"] + counts["part"])
    gap = (counts["claimed"] / 100 - of_use) / n
    return max(-STEP, min(STEP, gap * n / (n + MIN_ENDED)))


def reset() -> None:
    """Remove the file, and what a writer that was killed left beside it."""
    for end in ("", "-journal"):
        path = statistics_path()
        path.with_name(path.name + end).unlink(missing_ok=True)


def _write(rows: list[Row]) -> None:
    oldest = datetime.date.today() - datetime.timedelta(KEPT_DAYS)
    with open_database(statistics_path(), _SCHEMA, timeout_s=_BUSY_S) as connection:
        connection.executemany(_ADD, rows)
        connection.execute("DELETE FROM counts WHERE day < ?", (oldest.isoformat(),))
