"""Killed at any moment: what served still serves, and the same command comes to the same end."""

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.programs import run_program
from tests.rounds import ROUND, count


@pytest.mark.slow
@pytest.mark.timeout(900)  # a dozen processes, one after another
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_tuning_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.finetune.crashing"]
    command += [str(tmp_path), str(ROUND)]
    done = run_program(command)
    assert done.returncode == 0, done.stderr
    *killed, last, undisturbed = map(json.loads, done.stdout.splitlines())
    assert len(killed) > 5
    count(len(killed))
    assert {line["status"] for line in killed} == {-signal.SIGKILL}
    # Nothing served before; what is listed or served after a kill is the finished model.
    assert {line["served"] for line in killed} <= {"", undisturbed["served"]}
    assert {line["listed"] for line in killed} <= {0, 1}
    assert last == undisturbed
    assert (last["status"], last["listed"]) == (0, 1)
    assert last["served"]
