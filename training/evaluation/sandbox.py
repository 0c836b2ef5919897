"""Runs generated code against a test, where it can do no harm and cannot lie about the result.

Two processes, each alone in Linux namespaces of its own: no network, no other process, no file but
the standard library, an empty environment, and limits on memory, processor time, processes, files
and the clock. One runs the candidate, the other the test; see `sandbox_guest` for what they may
say to each other. Knows neither models nor benchmarks.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training.evaluation.sandbox_guest import Job

NAMESPACES = ("-n", "-p", "-f", "-m", "-i", "--kill-child")
# Our folder is on the guest's path only for as long as it imports itself.
GUEST = (
    "import sys; sys.path.append(sys.argv.pop()); from training.evaluation import sandbox_guest;"
    " sys.path.pop(); sandbox_guest.main()"
)
MAX_VERDICT_BYTES = 4096
GRACE_S = 2.0  # a guest whose parent was killed ends itself after that much more
PROBE_WALL_S = 20.0


class SandboxError(RuntimeError):
    """This machine cannot contain a program; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What each of the two processes may use."""

    memory_bytes: int = 512 << 20
    cpu_s: int = 5
    # For both together, from their start; so long that on a busy machine, too, an endless loop ends
    # by `cpu_s`, and the same reason is told each time.
    wall_s: float = 20.0
    n_process: int = 1  # itself: neither processes nor threads can be started
    n_file: int = 32
    file_bytes: int = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Exercise:
    """A program and the test that decides about it."""

    program: str  # generated, not trusted; defines `entry_point`
    entry_point: str
    reference: str  # the benchmark's own solution: tests may use the helpers beside it
    test: str  # defines `check(candidate)`, which raises if the candidate is wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The result of an exercise."""

    passed: bool
    reason: str  # passed, wrong answer, raised NameError, died, timeout, ...


@dataclass(slots=True)
class _Guests:
    """The processes of one exercise and the descriptors that this process holds for them."""

    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    descriptors: set[int] = field(default_factory=set)

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self.descriptors |= {*ends}
        return ends

    def close(self, *descriptors: int) -> None:
        for descriptor in self.descriptors & {*descriptors}:
            os.close(descriptor)
        self.descriptors -= {*descriptors}


def run(exercise: Exercise, *, limits: Limits | None = None, isolated: bool = True) -> Verdict:
    """Judge the exercise; SandboxError if it cannot be contained, unless `isolated` is false."""
    limits = limits or Limits()
    if isolated:
        require_isolation()
    nonce = secrets.token_hex(16)
    with _guests() as guests:
        calls, answers, verdict = guests.pipe(), guests.pipe(), guests.pipe()
        judge = {
            "role": "judge",
            "nonce": nonce,
            "entry_point": exercise.entry_point,
            "reference": exercise.reference,
            "test": exercise.test,
            "pipes": {"calls": calls[1], "answers": answers[0], "verdict": verdict[1]},
        }
        candidate = {
            "role": "candidate",
            "entry_point": exercise.entry_point,
            "program": exercise.program,
            "pipes": {"calls": calls[0], "answers": answers[1]},
        }
        _start(guests, judge, limits=limits, isolated=isolated)
        _start(guests, candidate, limits=limits, isolated=isolated)
        outcome = _read_verdict(verdict[0], nonce, limits.wall_s)
    return Verdict(passed=outcome == "passed", reason=outcome)


@functools.cache
def require_isolation() -> None:
    """Try the sandbox once; SandboxError says why this machine does not have one."""
    if shutil.which("unshare") is None:
        raise SandboxError("a sandbox needs Linux and the program `unshare` of util-linux")
    nonce = secrets.token_hex(16)
    with _guests() as guests, tempfile.TemporaryFile() as errors:
        verdict = guests.pipe()
        probe = {"role": "probe", "nonce": nonce, "pipes": {"verdict": verdict[1]}}
        _start(guests, probe, limits=Limits(wall_s=PROBE_WALL_S), errors=errors.fileno())
        outcome = _read_verdict(verdict[0], nonce, PROBE_WALL_S)
        errors.seek(0)
        told = errors.read().decode("utf-8", "replace").strip().split("\n")[-1]
    if outcome != "contained":
        raise SandboxError(f"no sandbox here: {told or outcome}")


@contextlib.contextmanager
def _guests() -> Iterator[_Guests]:
    """Kill and reap whatever was started, whatever happens."""
    guests = _Guests()
    try:
        yield guests
    finally:
        guests.close(*guests.descriptors)
        for process in guests.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(
    guests: _Guests,
    role: Job,
    *,
    limits: Limits,
    isolated: bool = True,
    errors: int = subprocess.DEVNULL,
) -> None:
    """Start a guest and leave its ends of the pipes to it alone."""
    pipes: dict[str, int] = role["pipes"]
    job = role | {
        "limits": asdict(limits),
        "wall_s": limits.wall_s + GRACE_S,
        "quiet": errors == subprocess.DEVNULL,
        "jail": isolated,
        "becomes_nobody": isolated and os.geteuid() == 0,
    }
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(job).encode())
        file.seek(0)
        process = subprocess.Popen(  # noqa: S603  a fixed command
            _command(isolated),
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=tuple(pipes.values()),
            env={},
            cwd="/",
            start_new_session=True,
        )
    guests.processes.append(process)
    guests.close(*pipes.values())


def _command(isolated: bool) -> list[str]:
    # The interpreter itself, not a virtual environment's: its folder is what the jail shows.
    python = str(Path(sys.executable).resolve())
    inside = [python, "-I", "-S", "-B", "-c", GUEST, str(Path(__file__).parents[2])]
    if not isolated:
        return inside
    mapped = () if os.geteuid() == 0 else ("-r",)
    return [shutil.which("unshare") or "unshare", *mapped, *NAMESPACES, *inside]


def _read_verdict(descriptor: int, nonce: str, wall_s: float) -> str:
    """Return the outcome that came with the nonce before the time was up."""
    deadline = time.monotonic() + wall_s
    message = b""
    arrivals = select.poll()
    arrivals.register(descriptor, select.POLLIN)
    while len(message) < MAX_VERDICT_BYTES:
        if not arrivals.poll(max(0.0, 1_000 * (deadline - time.monotonic()))):
            return "timeout"
        piece = os.read(descriptor, MAX_VERDICT_BYTES)
        if not piece:
            break
        message += piece
    try:
        told = json.loads(message)
        return str(told["outcome"]) if told["nonce"] == nonce else "no verdict"
    except (ValueError, KeyError, TypeError):
        return "no verdict"
