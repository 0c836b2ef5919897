"""Runs a generated program against its test: under bubblewrap if there is one, else merely limited.

Bubblewrap shows it the standard library and an empty folder, no network, no other process. Without
it the program has your rights and limits of memory, CPU time, files and the clock. It passes if the
test came to its end, whatever it prints and however it exits. Made for the accidents of a model.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

WALL_S = 20.0  # so long that on a busy machine, too, an endless loop ends by its CPU time
LIMITS = {"AS": 512 << 20, "CPU": 5, "FSIZE": 1 << 20, "NOFILE": 32, "NPROC": 1, "CORE": 0}
_DRIVER = """
import contextlib, json, os, sys
job = json.load(sys.stdin)
for name, limit in job["limits"].items():
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has each
        import resource
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
sys.stdin, sys.stdout, scope = open(os.devnull), open(os.devnull, "w"), {"__name__": "candidate"}
try:
    exec(job["program"] + "\\n" + job["test"], scope)
    scope["check"](scope[job["entry_point"]])
    reason = "passed"
except BaseException as error:
    reason = "wrong answer" if isinstance(error, AssertionError) else type(error).__name__
os.write(1, f"{job['nonce']} {reason}\\n".encode())
os._exit(0)
"""


def run_test(program: str, test: str, entry_point: str, *, wall_s: float = WALL_S) -> str:
    """Return "passed" or why not; `test` defines `check(candidate)`, which raises at a fault."""
    job = {"program": program, "test": test, "entry_point": entry_point, "limits": LIMITS}
    nonce = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603  a fixed command; its output is nobody's pipe
            [*bubblewrap(), str(Path(sys.executable).resolve()), "-I", "-c", _DRIVER],
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL, env={}, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(json.dumps(job | {"nonce": nonce}).encode(), timeout=wall_s)
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        _, found, reason = output.read().rpartition(f"{nonce} ".encode())
    return reason.partition(b"\n")[0].decode("utf-8", "replace") if found else "died"


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
    probe = [*command, str(Path(sys.executable).resolve()), "-I", "-c", ""]
    works = program and not subprocess.run(probe, capture_output=True, check=False).returncode  # noqa: S603
    return command if works else ()
