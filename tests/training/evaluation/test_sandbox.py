"""Generated code that attacks: the machine, the clock, the judge. None may pass, none may leave."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation import sandbox
from training.evaluation.sandbox import Exercise, Limits, SandboxError, Verdict, run
from training.evaluation.sandbox_guest import pack, unpack

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# Long enough on a busy machine: only what sleeps comes to the end of the clock.
LIMITS = Limits(cpu_s=1, wall_s=30.0, memory_bytes=256 << 20)
CORRECT = "def double(x):\n    return x + x\n"
TEST = """
def check(candidate):
    assert candidate(2) == 4
    assert candidate([1]) == [1, 1]
    assert candidate("a") == "aa"
"""
PASSED = Verdict(passed=True, reason="passed")


def isolation_problem() -> str:
    try:
        sandbox.require_isolation()
    except SandboxError as error:
        return str(error)
    return ""


PROBLEM = isolation_problem()
needs_isolation = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM or "contained")


def exercise(program: str, test: str = TEST) -> Exercise:
    return Exercise(program=program, entry_point="double", reference=CORRECT, test=test)


def attack(code: str) -> Verdict:
    """Run the attack when the program is loaded, before a right solution."""
    return run(exercise(f"{code}\n{CORRECT}"), limits=LIMITS)


@needs_isolation
def test_right_solution_passes_and_wrong_one_does_not() -> None:
    assert run(exercise(CORRECT), limits=LIMITS) == PASSED
    wrong = run(exercise("def double(x):\n    return x\n"), limits=LIMITS)
    assert wrong == Verdict(passed=False, reason="wrong answer")


# What must be impossible: each would let the right solution below it pass if it were possible.
FORBIDDEN = {
    "network": "import socket; socket.create_connection(('1.1.1.1', 53), 1)",
    "network by system call": "import ctypes; assert ctypes.CDLL(None).socket(2, 1, 0) >= 0",
    "read a file of the user": "open({outside!r}).read()",
    "write a file of the user": "open({outside!r}, 'w')",
    "read the password file": "open('/etc/passwd')",
    "list the user's folder": "import os; os.listdir({folder!r})",
    "environment of the first process": "open('/proc/1/environ').read()",
    "old root": "import os; os.listdir('/old')",
    "parent of the root": "open('/../../../../etc/passwd')",
    "symlink out": "import os; os.symlink('/etc', 'e'); os.listdir('e')",
    "write the standard library": "import os; open(os.__file__, 'a')",
    "write a cached module": "import os; os.mkdir(os.path.dirname(os.__file__) + '/x')",
    "write the root": "open('/x', 'w')",
    "start a process": "import os\nif os.fork() == 0: os._exit(0)",
    "start a program": "import os, sys; os.execv(sys.executable, ['python'])",
    "start a thread": "import threading; threading.Thread(target=print).start()",
    "fork by system call": "import ctypes; assert ctypes.CDLL(None).fork() >= 0",
    "raise a limit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (9, 9))",
    "leave the chroot": "import os; os.mkdir('a'); os.chroot('a')",
    "user namespace": "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "mount": "import ctypes; assert ctypes.CDLL(None).mount(b'', b'/tmp', b'tmpfs', 0, b'') == 0",
    "memory beyond the limits": "import ctypes; assert ctypes.CDLL(None).shmget(1, 4096, 950) >= 0",
    "trace the first process": "import ctypes; assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",
    "our environment": "import os; assert os.environ.keys() - {{'LC_CTYPE'}}",
    "standard input": "input()",
    "fill the disk": "for i in range(64): open(f'f{{i}}', 'wb').write(bytes(1 << 20))",
    "large file": "import os; os.truncate(open('f', 'wb').fileno(), 2 << 20)",
    "many files": "import os; files = [open(os.__file__) for _ in range(99)]",
    "much memory": "x = bytearray(1 << 30)",
}


@needs_isolation
@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden_act_fails(name: str, tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("mine")
    code = FORBIDDEN[name].format(outside=str(outside), folder=str(tmp_path))
    verdict = attack(code)
    assert not verdict.passed
    assert verdict.reason.startswith("raised ") or verdict.reason == "died"
    assert outside.read_text() == "mine"


def test_without_isolation_the_same_act_succeeds(tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("mine")
    code = FORBIDDEN["read a file of the user"].format(outside=str(outside))
    assert run(exercise(code + "\n" + CORRECT), limits=LIMITS, isolated=False) == PASSED


# Programs that do not solve the task but want to look as if they did.
WALK = """
import sys
def locals_above():
    frame = sys._getframe()
    while frame := frame.f_back:
        yield from (value for value in frame.f_locals.values() if isinstance(value, dict))
"""
LIES = {
    "leave at once": "import sys; sys.exit(0)",
    "leave harder": "import os; os._exit(0)",
    "leave when called": "def double(x):\n    raise SystemExit(0)",
    "equal to everything": "class Yes:\n    def __eq__(self, other): return True\n"
    "    def __hash__(self): return 0\ndef double(x): return Yes()",
    "a text equal to everything": "class Yes(str):\n    def __eq__(self, other): return True\n"
    "def double(x): return Yes()",
    "a number equal to everything": "class Yes(int):\n    def __eq__(self, other): return True\n"
    "    __hash__ = int.__hash__\ndef double(x): return Yes()",
    "another AssertionError": "import builtins; builtins.AssertionError = KeyError\n"
    "def double(x): return None",
    "another check": "def check(candidate): pass\ndef double(x): return None",
    "another encoder": "import json; json.dumps = lambda o, **k: '{\"value\": true}'\n"
    "def double(x): return None",
    "another guest": "import sys\nguest = sys.modules['training.evaluation.sandbox_guest']\n"
    "guest.pack = lambda v: {'outcome': 'passed'}\ndef double(x): return None",
    "say passed everywhere": "import os\nfor fd in range(3, 256):\n    try: os.write(fd, "
    'b\'{"nonce": "", "outcome": "passed"}\\n\')\n    except OSError: pass\n'
    "def double(x): return None",
    "take the nonce": WALK + "nonce = [d['nonce'] for d in locals_above() if 'nonce' in d][0]\n"
    "def double(x): return nonce",
    "take the test": WALK + "test = [d['test'] for d in locals_above() if 'test' in d][0]\n"
    "def double(x): return test",
    "take the reference": WALK + "exec([d['reference'] for d in locals_above()][0])",
}


@needs_isolation
@pytest.mark.parametrize("name", LIES)
def test_lie_is_not_believed(name: str) -> None:
    verdict = run(exercise(LIES[name]), limits=LIMITS)
    assert not verdict.passed
    assert verdict.reason not in ("timeout", "raised SyntaxError")  # it came to the lie


# Programs that never come to an end by themselves, and how they end.
STUBBORN = """
import signal
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    print("x" * 65536)
"""
FLOOD = """
import os
while True:
    for fd in range(3, 256):
        try:
            os.write(fd, bytes(65536))
        except OSError:
            pass
"""
BOMBS: dict[str, tuple[str, set[str]]] = {
    "sleep": ("import time; time.sleep(99)", {"timeout"}),
    "stop itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", {"timeout"}),
    "ignore signals and print": (STUBBORN, {"died"}),
    "answers": (FLOOD, {"answer too long"}),
    "kill all": ("import os; os.kill(-1, 9)", {"died", "raised ProcessLookupError"}),
    "kill the parent": ("import os; os.kill(1, 9); 1 / 0", {
        "raised PermissionError", "raised ZeroDivisionError",
    }),
    "crash": ("import ctypes; ctypes.string_at(0)", {"died"}),
    "recursion": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(x): return f([x])\nf(0)",
        {"died", "raised MemoryError"},
    ),
}  # fmt: skip


@needs_isolation
@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_defused_in_time(name: str) -> None:
    code, reasons = BOMBS[name]
    limits = replace(LIMITS, wall_s=1.0) if "timeout" in reasons else LIMITS
    started = time.monotonic()
    verdict = run(exercise(f"{code}\n{CORRECT}"), limits=limits)
    assert not verdict.passed
    assert verdict.reason in reasons
    assert time.monotonic() - started < limits.wall_s + 5


HIDING = """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.prctl(15, b"{name}")  # a name to be found by
libc.prctl(1, 0)  # do not die with the parent
try:
    os.setsid()
except OSError:
    pass
time.sleep(60)
"""


def processes_named(name: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == name:
                found.append(path.parent.name)
        except OSError:
            continue  # it has ended
    return found


@needs_isolation
def test_nothing_is_left_after_a_timeout() -> None:
    name = f"hide-{os.getpid()}"
    verdict = run(exercise(HIDING.format(name=name)), limits=Limits(wall_s=1.5))
    assert verdict.reason == "timeout"
    deadline = time.monotonic() + 5  # the kernel ends the guests after their parent, not with it
    while processes_named(name) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes_named(name) == []


@needs_isolation
def test_guests_end_by_themselves_when_their_parent_is_killed() -> None:
    name = f"orphan-{os.getpid()}"
    program = (
        "from training.evaluation.sandbox import *\n"
        f"run(Exercise(program={HIDING.format(name=name)!r}, entry_point='f', reference='',"
        " test='def check(c): c()'), limits=Limits(wall_s=1.0))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_until(lambda: processes_named(name) != [])
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: processes_named(name) == [])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("isolated", [pytest.param(True, marks=needs_isolation), False])
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (CORRECT, "passed"),
        ("def double(x):\n    return x\n", "wrong answer"),
        ("def double(x:\n", "raised SyntaxError"),
        ("def single(x): pass\n", "raised KeyError"),
        ("def double(x):\n    return double\n", "raised TypeError"),
        ("import os; os._exit(0)\n", "died"),
    ],
)
def test_reason_says_what_happened(program: str, reason: str, isolated: bool) -> None:
    verdict = run(exercise(program), limits=LIMITS, isolated=isolated)
    assert verdict == Verdict(passed=reason == "passed", reason=reason)


def test_answer_that_breaks_the_test_is_named_after_the_error() -> None:
    test = "def check(candidate):\n    assert candidate(1) < 3\n"
    program = "def double(x):\n    return None\n"
    assert run(exercise(program, test), limits=LIMITS, isolated=False).reason == "TypeError"


def test_test_may_use_the_helpers_beside_the_reference() -> None:
    test = "def check(candidate):\n    assert helper(candidate(1)) == 20\n"
    asked = Exercise(
        program=CORRECT,
        entry_point="double",
        reference="def helper(x):\n    return 10 * x\n",
        test=test,
    )
    assert run(asked, limits=LIMITS, isolated=False) == PASSED


def test_missing_unshare_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="needs Linux and the program `unshare`"):
        sandbox.require_isolation.__wrapped__()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'unshare: Operation not permitted' >&2; exit 1", "unshare: Operation not permitted"),
        ("exit 0", "no verdict"),
        (
            'while [ "$1" != --kill-child ]; do shift; done; shift; exec "$@"',
            "the process is not in namespaces of its own",
        ),
    ],
)
def test_namespaces_that_cannot_be_made_are_refused(
    script: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "unshare"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=f"no sandbox here: .*{problem}"):
        sandbox.require_isolation.__wrapped__()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_plain_data_crosses_unchanged(value: object) -> None:
    copy = unpack(json.loads(json.dumps(pack(value))))
    assert (copy, repr(copy)) == (value, repr(value))


def test_sets_cross_and_subclasses_become_plain() -> None:
    assert unpack(pack({1, 2})) == {1, 2}
    assert unpack(pack(frozenset({(1,)}))) == frozenset({(1,)})
    plain = unpack(pack(Counter("aab")))
    assert (plain, type(plain)) == ({"a": 2, "b": 1}, dict)


def test_what_is_not_data_does_not_cross() -> None:
    with pytest.raises(TypeError, match="function is not plain data"):
        pack([lambda: 0])
