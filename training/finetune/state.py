"""The folder of one repository's tuning: a lock, the plan, and what each step has left.

A step's table is written aside and renamed, as its folder is: after kill -9 it is there and whole,
or absent, and the next run does it again. Files hold parts of private code, so they are their
owner's only. Knows no step.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from model.config import ConfigError, from_table
from model.files import read_regular
from model.publish import LEFTOVERS, delete, write_atomically
from training.errors import TuneError
from training.finetune.plan import TunePlan

PLAN = "plan"
_LOCK = "lock"
_OTHERS = 0o077  # permissions of everybody but the owner
_MAX_TABLE_BYTES = 1 << 30


class TuneState:
    """What is known of a tuning; a context manager that holds the lock."""

    def __init__(self, folder: Path) -> None:
        """Lock `folder`, made if needed; TuneError if another process tunes there."""
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        if os.name != "nt":
            folder.chmod(0o700)
        self.folder = folder
        self._lock = FileLock(folder / _LOCK, mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0.0)
        except Timeout:
            raise TuneError(
                "another `foretype tune` works on this repository; wait for it or stop it"
            ) from None
        for pattern in (*LEFTOVERS, "*.part"):  # of a killed run; .part: weights, indexes
            for path in folder.glob(pattern):
                delete(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def plan(self) -> TunePlan | None:
        """Return the plan that was begun last; None if there is none that can be read."""
        table = self.table(PLAN)
        try:
            return None if table is None else from_table(TunePlan, table)
        except ConfigError:  # of another version
            return None

    def begin(self, plan: TunePlan) -> None:
        """Forget what another plan has left, and keep this one."""
        self.clear()
        self.write_table(PLAN, dataclasses.asdict(plan))

    def clear(self, *, keep: tuple[str, ...] = ()) -> None:
        """Delete everything but the lock and the steps named; the plan goes first."""
        if PLAN not in keep:
            self._table_path(PLAN).unlink(missing_ok=True)
        kept = {_LOCK, *keep, *(f"{name}.json" for name in keep)}
        for path in sorted(self.folder.iterdir()):
            if path.name not in kept:
                delete(path)

    def table(self, name: str) -> dict[str, Any] | None:
        """Return what a step wrote under `name`; None if it did not, or if it cannot be read."""
        path = self._table_path(name)
        if not path.is_file():
            return None
        try:
            table = json.loads(read_regular(path, _MAX_TABLE_BYTES))
        except (OSError, ValueError):
            return None
        return table if isinstance(table, dict) else None

    def write_table(self, name: str, table: dict[str, Any]) -> None:
        """Write a step's table, all of it or nothing."""
        write_atomically(self._table_path(name), (json.dumps(table, indent=1) + "\n").encode())

    def do_once(self, name: str, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the table that a step gave, now or before; a step may leave a folder `name`."""
        if (table := self.table(name)) is None:
            self.write_table(name, table := step())
        return table

    def _table_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Let whatever this process makes be its owner's alone, until the block ends."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)
