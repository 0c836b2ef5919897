"""Killed at any moment, the preparation of a corpus goes on, to the same last byte."""

import sys
from pathlib import Path

import pytest

from tests.programs import run_program
from tests.rounds import ROUND, count


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_preparation_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.data.crashing", str(tmp_path), str(ROUND)]
    done = run_program(command)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
    count(int(done.stdout))
