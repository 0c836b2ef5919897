"""Workers give results in order, and none is left when the parent is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs import ROOT, is_running
from training.data.workers import map_in_order

PROGRAM = """
import multiprocessing, os, sys, time
from training.data.workers import map_in_order

def square(number):
    os.write(1, f"{number} {os.getpid()}\\n".encode())  # at once: two processes share the pipe
    time.sleep(0.05 if number % 2 else 0)
    return number * number

if __name__ == "__main__":
    found = map_in_order(square, range(int(sys.argv[1])), processes=2)
    if sys.argv[2:]:
        next(found)
        found.close()
        print("left", multiprocessing.active_children(), flush=True)
    else:
        print("found", list(found), flush=True)
"""


def start(tmp_path: Path, n_tasks: int, *options: str) -> subprocess.Popen[str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(n_tasks), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_results_come_in_order(tmp_path: Path) -> None:
    out, _ = start(tmp_path, 12).communicate(timeout=60)
    assert f"found {[number * number for number in range(12)]}\n" in out


@pytest.mark.slow
def test_no_worker_is_left_when_there_is_enough(tmp_path: Path) -> None:
    """2026-11-30: they worked on beside the training that followed, which then took one thread."""
    out, _ = start(tmp_path, 1_000, "--enough").communicate(timeout=60)
    assert out.endswith("left []\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="reads /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, 10_000)
    assert process.stdout is not None
    workers: set[int] = set()
    while len(workers) < 2:
        workers.add(int(process.stdout.readline().split()[1]))
    process.kill()
    process.wait(timeout=20)
    process.stdout.close()
    until_s = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert [worker for worker in workers if is_running(worker)] == []


def test_nothing_to_do_gives_nothing() -> None:
    assert list(map_in_order(len, [], processes=2)) == []
