"""A process is noticed to be gone, reaped or not."""

import os
import subprocess
import sys
import threading

import pytest

from lsp.session import is_alive, watch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes cannot be asked on Windows")


def sleeper() -> subprocess.Popen[bytes]:
    code = "import sys; sys.stdin.read()"
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE)


def test_running_dead_and_unreaped_processes() -> None:
    with sleeper() as process:
        assert is_alive(process.pid, os.getppid())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
        assert not is_alive(process.pid, os.getppid())
    assert not is_alive(process.pid, os.getppid())


def test_parent_that_handed_us_over_is_dead() -> None:
    assert not is_alive(os.getpid(), parent_at_start=os.getpid())


def test_process_of_another_user_is_alive_and_an_absurd_id_too() -> None:
    assert is_alive(1, 0)
    assert is_alive(2**80, 0)  # never end for what cannot be asked


def test_death_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp.session.POLL_S", 0.01)
    told = threading.Semaphore(0)
    with sleeper() as process:
        assert watch(process.pid, told.release)
        assert not told.acquire(blocking=False)
        process.kill()
    assert told.acquire(timeout=10)
    assert not told.acquire(timeout=0.05)


def test_process_that_cannot_be_seen_is_not_watched() -> None:
    with sleeper() as process:
        process.kill()
    assert not watch(process.pid, lambda: pytest.fail("told"))


def test_a_parent_that_died_before_it_was_looked_for_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found on 2026-11-29: a busy machine reads `initialize` after the editor's death."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr("lsp.session._PARENT", gone.pid)
    lost = threading.Event()
    assert watch(gone.pid, lost.set) is not None
    assert lost.wait(20)
