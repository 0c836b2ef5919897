"""The ledger: every row is written before the bytes leave, survives, and stays its owner's."""

import contextlib
import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import RemoteError
from assistant.remote import ledger as module
from assistant.remote.ledger import Ledger


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 5, 1, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def send(ledger: Ledger, n_bytes: int = 100) -> int:
    row = {
        "provider": "llamacpp", "host": "127.0.0.1", "model": "m", "file": "a.py",
        "ranges": ((0, 10), (10, 20)), "bytes_sent": n_bytes, "redactions": {"JWT": 2},

    }  # fmt: skip
    return ledger.begin(row)


def end(ledger: Ledger, id_: int, outcome: str = "ok", n_bytes: int = 100) -> None:
    row = {
        "outcome": outcome, "bytes_sent": n_bytes, "bytes_received": 7,
        "latency_ms": 1.5, "prompt_tokens": 3, "new_tokens": 2,
    }  # fmt: skip
    ledger.end(id_, row)


def test_rows_come_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    first = send(ledger)
    assert [row["outcome"] for row in ledger.rows()] == ["unknown"]
    second = send(ledger)
    end(ledger, first)
    row, other = ledger.rows()
    assert (row["ranges"], row["redactions"]) == ([[0, 10], [10, 20]], {"JWT": 2})
    assert (row["id"], row["outcome"]) == (first, "ok")
    assert (other["id"], other["outcome"]) == (second, "unknown")


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    send(ledger)
    ledger.path.chmod(0o644)
    send(ledger)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_folder_is_made_for_its_owner_when_something_is_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state" / "foretype")
    assert ledger.rows() == []
    assert ledger.sums() == ledger.today()
    assert not (tmp_path / "state").exists()
    send(ledger)
    assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700


def test_totals_are_of_the_day_and_of_all(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path, clock)
    end(ledger, send(ledger, 100))
    assert (ledger.today()["requests"], ledger.today()["bytes_sent"]) == (1, 100)
    clock.at += timedelta(minutes=2)  # midnight has passed
    assert ledger.today()["requests"] == 0
    send(ledger, 30)
    today = ledger.today()
    assert (today["bytes_sent"], today["redactions"]) == (30, 2)
    everything = ledger.sums()
    assert (everything["requests"], everything["bytes_sent"]) == (2, 130)
    assert (everything["prompt_tokens"], everything["new_tokens"]) == (3, 2)
    assert everything["outcomes"] == {"ok": 1}


def test_what_never_left_is_taken_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    end(ledger, send(ledger, 100), outcome="unreachable", n_bytes=0)
    assert (ledger.today()["requests"], ledger.today()["bytes_sent"]) == (1, 0)


def test_other_processes_count(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path), Ledger(tmp_path)
    send(one)
    assert two.today()["requests"] == 1
    send(one)
    end(two, send(two))
    assert (one.today()["requests"], two.today()["requests"]) == (3, 3)


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    ledger = Ledger(tmp_path)
    keys = [send(ledger) for _ in range(12)]
    assert [row["id"] for row in ledger.rows()] == keys[-10:]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE requests SET ranges = '[', redactions = 7",
        "UPDATE requests SET new_tokens = 9e999, bytes_sent = 'many', host = NULL, time = 7",
        "ALTER TABLE requests DROP COLUMN host",
    ],
)
def test_what_others_wrote_into_it_ends_in_one_line(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(tmp_path)
    end(ledger, send(ledger))
    with contextlib.closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute(damage)
    for ask in (ledger.rows, ledger.today):
        with contextlib.suppress(RemoteError):
            ask()


def test_threads_do_not_mix_rows(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    threads = [threading.Thread(target=lambda: [send(ledger) for _ in range(25)]) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row["id"] for row in ledger.rows()}) == 100


def _block_by_folder(path: Path) -> None:
    path.mkdir()


def _block_by_link(path: Path) -> None:
    (path.parent / "elsewhere").write_text("")
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("block", [_block_by_folder, _block_by_link])
def test_what_cannot_be_written_down_may_not_leave(tmp_path: Path, block: Any) -> None:
    ledger = Ledger(tmp_path)
    block(ledger.path)
    with pytest.raises(RemoteError, match="cannot be used"):
        send(ledger)


def test_why_it_cannot_be_used_is_said(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.path.write_text("this is something else" * 100)
    with pytest.raises(RemoteError, match=r"cannot be used \(file is not a database\); make"):
        ledger.rows()


def test_the_ledger_holds_no_text(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    end(ledger, send(ledger))
    (row,) = ledger.rows()
    assert set(row) == {
        "id", "time", "provider", "host", "model", "file", "ranges", "redactions", "replaced",
        "outcome", "bytes_sent", "bytes_received", "latency_ms", "prompt_tokens", "new_tokens",
    }  # fmt: skip
