"""What runs inside the sandbox: enters the jail, gives up all rights, then plays one role.

The candidate's process runs generated code and answers calls; the judge's process, in a jail of its
own, runs the tests and asks. They share two pipes that carry plain data only, so generated code
never meets the tests, the verdict or the nonce that marks it. Knows no model and no benchmark.
Standard library only, and little of it: two of these start for each program.

    python -I -S -B -c 'import this module; main()' < job.json
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

from training.evaluation.sandbox_jail import build_jail, give_up_rights, set_limits

MAX_MESSAGE_BYTES = 1 << 20

Job = dict[str, Any]


class GuestError(Exception):
    """The other side of the pipe did not keep to the protocol; the message is the reason."""


def main() -> None:
    """Read the job, build the jail, fork; the child plays its role, the parent reaps and waits."""
    job: Job = json.load(sys.stdin)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2) if job["quiet"] else (0,):
        os.dup2(null, descriptor)
    os.close(null)
    # Handled, since the first process of a namespace ignores what it does not handle.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, job["wall_s"])
    if job["jail"]:
        build_jail()
    child = os.fork()
    if child == 0:
        _play(job)
    for descriptor in job["pipes"].values():
        os.close(descriptor)  # so that the child's death is the end of its pipes
    while os.wait()[0] != child:
        pass
    os._exit(0)  # the first process of the namespace: all that is left in it dies now


def _play(job: Job) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    set_limits(job["limits"])
    if job["jail"]:
        give_up_rights(job["becomes_nobody"])
    roles: dict[str, Callable[[Job], None]] = {
        "candidate": answer_calls,
        "judge": judge,
        "probe": probe,
    }
    try:
        roles[job["role"]](job)
    finally:
        os._exit(0)


def answer_calls(job: Job) -> None:
    """Run the program, then call its entry point with what comes in, one JSON line a call."""
    calls, answers = _line_files(job["pipes"]["calls"], job["pipes"]["answers"])
    scope: dict[str, Any] = {"__name__": "candidate"}
    failure = ""
    try:
        exec(compile(job["program"], "<candidate>", "exec"), scope)  # noqa: S102  what it is for
    except BaseException as error:  # noqa: BLE001  generated code may raise anything
        failure = type(error).__name__
    for line in calls:
        reply: dict[str, Any] = {"raised": failure}
        try:
            if not failure:
                args, kwargs = unpack(json.loads(line))
                reply = {"value": pack(scope[job["entry_point"]](*args, **kwargs))}
        except BaseException as error:  # noqa: BLE001  the same
            reply = {"raised": type(error).__name__}
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()


def judge(job: Job) -> None:
    """Run the tests on a stand-in that asks the candidate; write the outcome with the nonce."""
    calls, answers = _line_files(job["pipes"]["answers"], job["pipes"]["calls"])[::-1]
    failure = ""

    def candidate(*args: Any, **kwargs: Any) -> Any:
        nonlocal failure
        try:
            return _ask(calls, answers, args, kwargs)
        except GuestError as error:
            failure = str(error)
            raise

    scope: dict[str, Any] = {"__name__": "judge"}
    try:
        exec(compile(job["reference"], "<reference>", "exec"), scope)  # noqa: S102  the benchmark's
        scope[job["entry_point"]] = candidate
        exec(compile(job["test"], "<test>", "exec"), scope)  # noqa: S102  likewise
        scope["check"](candidate)
        outcome = "passed"
    except BaseException as error:  # noqa: BLE001  an answer of any type may break a test
        outcome = failure or (
            "wrong answer" if isinstance(error, AssertionError) else type(error).__name__
        )
    _tell(job, outcome)


def _tell(job: Job, outcome: str) -> None:
    message = json.dumps({"nonce": job["nonce"], "outcome": outcome})
    os.write(job["pipes"]["verdict"], message.encode())


def _line_files(readable: int, writable: int) -> tuple[IO[bytes], IO[bytes]]:
    return os.fdopen(readable, "rb"), os.fdopen(writable, "wb")


def _ask(calls: IO[bytes], answers: IO[bytes], args: Any, kwargs: Any) -> Any:
    try:
        calls.write(json.dumps(pack([args, kwargs])).encode() + b"\n")
        calls.flush()
    except BrokenPipeError as error:
        raise GuestError("died") from error
    line = answers.readline(MAX_MESSAGE_BYTES)
    if not line.endswith(b"\n"):
        raise GuestError("answer too long" if len(line) == MAX_MESSAGE_BYTES else "died")
    try:
        reply = json.loads(line)
        raised = reply.get("raised")
        value = None if raised is not None else unpack(reply["value"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise GuestError("answer is not data") from error
    if raised is not None:
        name = str(raised)[:40]
        raise GuestError(f"raised {name if name.isidentifier() else 'an error'}")
    return value


def pack(value: Any) -> Any:
    """Return `value` as JSON that keeps its type; TypeError unless it is plain data."""
    if value is None or type(value) in (bool, str):
        return value
    scalars: dict[type, Callable[[Any], Any]] = {
        str: str.__str__, int: lambda n: hex(int(n)), float: float.hex,
        complex: lambda z: [z.real.hex(), z.imag.hex()],
        bytes: bytes.hex,
    }  # fmt: skip
    for kind, packed in scalars.items():
        if isinstance(value, kind):  # of a subclass, only the plain value crosses
            return {kind.__name__: packed(value)}
    for series in (list, tuple, set, frozenset):
        if isinstance(value, series):
            return {series.__name__: [pack(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(key), pack(item)] for key, item in value.items()]}
    raise TypeError(f"{type(value).__name__} is not plain data")


def unpack(packed: Any) -> Any:
    """Undo `pack`; ValueError, KeyError or TypeError for what it cannot have written."""
    if packed is None or type(packed) in (bool, str):
        return packed
    ((kind, content),) = packed.items()
    if kind == "dict":
        return {unpack(key): unpack(item) for key, item in content}
    makers: dict[str, Callable[[Any], Any]] = {
        "str": str,
        "int": lambda text: int(text, 16),
        "float": float.fromhex,
        "complex": lambda parts: complex(*map(float.fromhex, parts)),
        "bytes": bytes.fromhex,
    }
    if kind in makers:
        return makers[kind](content)
    series: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return series[kind](unpack(item) for item in content)


def probe(job: Job) -> None:
    """Try what a jail must prevent; tell "contained", or what was possible."""
    import socket  # a large module, and the other roles pay for each millisecond

    outcome = "contained"
    try:
        if others := [name for _, name in socket.if_nameindex() if name != "lo"]:
            outcome = f"the network {others[0]} can be reached"
        if found := [
            path for path in ("/etc", "/home", "/proc", "/old") if os.access(path, os.F_OK)
        ]:
            outcome = f"{found[0]} can be seen"
        if os.getpid() == 1 or os.getppid() != 1:
            outcome = "the processes outside can be seen"
        if os.fork() == 0:
            os._exit(0)
        outcome = "processes can be started"
    except OSError:
        pass  # what the last step must end with
    _tell(job, outcome)
