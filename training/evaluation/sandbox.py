"""Runs a generated program against its test: under bubblewrap if there is one, else merely limited.

Two processes that share nothing but a pipe: one holds the program and answers calls with plain
values, the other holds the test and says how it went. So a program cannot reach its verdict.
Bubblewrap shows each the standard library and an empty folder, no network, no other process.
Without it both have your rights, and limits of memory, CPU time, files and the clock.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import Popen
from typing import IO

WALL_S = 20.0  # so long that on a busy machine, too, an endless loop ends by its CPU time
LIMITS = {"AS": 512 << 20, "CPU": 5, "FSIZE": 1 << 20, "NOFILE": 32, "NPROC": 1, "CORE": 0}
_PYTHON = (str(Path(sys.executable).resolve()), "-I", "-Wignore", "-c")
_BEGIN = """
import ast, contextlib, json, os, sys
limits, code, entry_point = json.loads(sys.argv[1])
for name, limit in limits.items():
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has each
        import resource
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
calls, replies, scope = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w"), {"__name__": "candidate"}
sys.stdin, sys.stdout = open(os.devnull), open(os.devnull, "w")
"""
_PROGRAM = """
try:
    exec(code, scope)
    for call in calls:
        print(repr(scope[entry_point](*ast.literal_eval(call))), file=replies, flush=True)
except BaseException as error:
    print(type(error).__name__, file=replies, flush=True)
os._exit(0)
"""
_TEST = """
class NoValue(Exception): pass
def candidate(*values):
    with contextlib.suppress(BrokenPipeError):
        print(repr(values), file=replies, flush=True)
    reply = calls.readline(1 << 20).strip()
    try:
        return ast.literal_eval(reply)
    except Exception:  # the name of an error, or anything at all
        raise NoValue(reply if reply in dir(__builtins__) else "no value" if reply else "died")
try:
    exec(code, scope)
    scope["check"](candidate)
    reason = "passed"
except BaseException as error:
    kinds = {AssertionError: "wrong answer", NoValue: str(error)}
    reason = kinds.get(type(error), type(error).__name__)
sys.stderr.write("\\n" + reason)
"""


def run_test(program: str, test: str, entry_point: str, *, wall_s: float = WALL_S) -> str:
    """Return "passed" or why not; `test` defines `check(candidate)`, which raises at a fault."""
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    with contextlib.ExitStack() as stack:

        def start(role: str, code: str, *streams: int | IO[bytes] | None) -> Popen[bytes]:
            job = json.dumps([LIMITS, code, entry_point])
            command = [*bubblewrap(), *_PYTHON, _BEGIN + role, job]
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stdin, stdout, stderr = streams
            process = Popen(  # noqa: S603  a fixed command
                command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=folder, env={}
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        verdict = stack.enter_context(tempfile.TemporaryFile())
        tested = start(_PROGRAM, program, pipe, pipe, quiet)
        assert tested.stdin and tested.stdout
        with tested.stdin, tested.stdout:  # from then on theirs alone: each sees the other go
            testing = start(_TEST, test, tested.stdout, tested.stdin, verdict)
        try:
            testing.wait(wall_s)
        except subprocess.TimeoutExpired:
            return "timeout"
        verdict.seek(0)
        return verdict.read().decode("utf-8", "replace").rpartition("\n")[2] or "died"


@functools.cache
def bubblewrap() -> tuple[str, ...]:
    """Return the command that contains a program; nothing where bubblewrap is missing or fails."""
    program = shutil.which("bwrap")
    paths = (sys.base_prefix, "/usr", "/lib", "/lib64")
    command = (
        program or "", "--unshare-all", "--die-with-parent", "--clearenv", "--dev", "/dev",
        *(word for path in paths for word in ("--ro-bind-try", path, path)),
        "--tmpfs", "/home", "--chdir", "/home",
    )  # fmt: skip
    probe = [*command, *_PYTHON, ""]
    works = program and not subprocess.run(probe, capture_output=True, check=False).returncode  # noqa: S603
    return command if works else ()
