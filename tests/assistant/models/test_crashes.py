"""Writers that are killed at each of their steps, and two that write at once."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.programs import run_program
from tests.rounds import count

SHARED_MEMORY = Path("/dev/shm")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]


def run(*arguments: str) -> int:
    command = [sys.executable, "-m", "tests.assistant.models.crashing", *arguments]
    done = run_program(command, timeout=280)
    assert done.returncode == 0, done.stderr
    count(int(done.stdout))
    return int(done.stdout)


@pytest.mark.parametrize("action", ["add", "use", "remove"])
def test_killed_writer_leaves_each_model_whole_or_absent(action: str, tmp_path: Path) -> None:
    assert run(action, str(tmp_path)) > 5


def test_killed_copy_from_another_disk_leaves_nothing_half(tmp_path: Path) -> None:
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk here")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as other:
        assert run("add", str(tmp_path), other) > 20


def test_two_writers_lose_nothing_of_each_other(tmp_path: Path) -> None:
    assert run("together", str(tmp_path)) == 10
