"""Generated code that fails, lies, or never ends; with bubblewrap, code that reaches out."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.evaluation.infilling import bubblewrap, run_test

CORRECT = "def double(x):\n    return x + x\n"
TEST = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'\n"
HAS_BUBBLEWRAP = bool(bubblewrap())
needs_bubblewrap = pytest.mark.skipif(not HAS_BUBBLEWRAP, reason="no bubblewrap here")


@pytest.fixture(params=[pytest.param(True, marks=needs_bubblewrap), False])
def either_way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Run a test under bubblewrap, and as if there were none."""
    if not request.param:
        monkeypatch.setenv("PATH", str(tmp_path))
        bubblewrap.cache_clear()
    yield
    bubblewrap.cache_clear()


ENDLESS_PRINTS = """
import signal
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    print("x" * 65536)
"""
PROGRAMS = {
    CORRECT: "passed",
    "def double(x):\n    return x\n": "wrong answer",
    "def double(x:\n": "SyntaxError",
    "def single(x): pass\n": "KeyError",
    "def double(x):\n    return 1 / 0\n": "ZeroDivisionError",
    f"{CORRECT}x = bytearray(1 << 30)\n": "MemoryError",
    # what looks as if it had passed
    "print('passed')\nraise SystemExit(0)\n": "SystemExit",
    "import os\nos._exit(0)\n": "died",
    "import os\nos.write(2, b'passed\\n')\nos._exit(0)\n": "died",
    "import sys\nsys.stderr.write('passed')\nsys.exit()\n": "SystemExit",
    "def double(x):\n    print('passed')\n": "wrong answer",
    "def check(candidate): pass\ndef double(x): return None\n": "wrong answer",
    "import ctypes\nctypes.string_at(0)\n": "died",
}


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("program", PROGRAMS)
def test_reason_says_what_happened(program: str) -> None:
    assert run_test(program, TEST, "double") == PROGRAMS[program]


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("program", ["import time\ntime.sleep(999)\n", ENDLESS_PRINTS])
def test_endless_program_ends_in_time(program: str) -> None:
    started = time.monotonic()
    assert run_test(program + CORRECT, TEST, "double", wall_s=1.5) in ("timeout", "died")
    assert time.monotonic() - started < 30


@pytest.mark.usefixtures("either_way")
def test_endless_test_ends_in_time() -> None:
    test = "def check(candidate):\n    while True: pass\n"
    assert run_test(CORRECT, test, "double", wall_s=1.5) == "timeout"


@pytest.mark.usefixtures("either_way")
def test_program_works_in_an_empty_folder_without_our_environment() -> None:
    program = (
        "import os\nassert os.listdir() == [] and not os.environ.keys() - {'LC_CTYPE', 'PWD'}\n"
    )
    assert run_test(program + CORRECT, TEST, "double") == "passed"


@needs_bubblewrap
@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)",
        "open({outside!r}).read()",
        "open({outside!r}, 'w')",
        "open('/etc/passwd')",
        "open(__import__('os').__file__, 'a')",
        "import os\nos.kill(os.getppid(), 9) if os.getppid() > 1 else 1 / 0",
    ],
)
def test_contained_program_does_not_reach_out(
    code: str, tmp_path: Path, listening_port: int
) -> None:
    outside = tmp_path / "mine.txt"
    outside.write_text("mine")
    program = f"{code.format(outside=str(outside), port=listening_port)}\n{CORRECT}"
    assert run_test(program, TEST, "double") not in ("passed", "timeout")
    assert outside.read_text() == "mine"


@pytest.fixture
def listening_port() -> Iterator[int]:
    """A port of this machine that answers outside of the sandbox."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_bubblewrap_that_does_not_work_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap.__wrapped__() == ()
