"""Times `foretype complete`, cold and warm, in one run: `python -m tests.benchmarks.bench_warm`.

Each call is a process, as a shell or Vim starts it, which hands over the text of a file. Typed: one
more character stands before the cursor than in the last call. Elsewhere: each in another place, so
that the network reads all of its prompt. Beside the time that passes stands the processor's, which
other load hardly changes: of the command and of the process that answers it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from assistant import warm
from tests.e2e.raw_client import ROOT

FILE = ROOT / "lsp" / "documents.py"
BUDGET_MS = 50
FORETYPE = [sys.executable, str(ROOT / "foretype.py"), "complete"]
Times = list[tuple[float, float]]  # ms that passed, ms of a processor


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench_warm", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=40, help="how many warm calls of each kind")
    parser.add_argument("--cold", type=int, default=7, help="how many cold calls")
    options = parser.parse_args(argv)
    text = FILE.read_text(encoding="utf-8")
    at = text.index("def ", len(text) // 3) + len("def ")
    rest = text[text.index("\n\n\n", at) :]
    typed = [(text[: at + n], rest) for n in range(options.calls)]
    step = len(text) // (options.calls + 1)
    elsewhere = [(text[: n * step], text[n * step :]) for n in range(1, options.calls + 1)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        try:
            _call(*typed[0], "--warm")  # starts the process
            keys = [_call(*cut, "--warm") for cut in typed]
            jumps = [_call(*cut, "--warm") for cut in elsewhere]
            colds = [_call(*cut) for cut in typed[: options.cold]]
            bare = [_run([sys.executable, "-c", ""], b"") for _ in range(options.cold)]
        finally:
            warm.leave()
    cold, key = _row("cold", colds), _row("warm, typed", keys)
    _row("warm, elsewhere", jumps)
    _row("(Python alone)", bare)
    print(
        f"warm p50, typed: {key[0]:.1f} ms of <= {BUDGET_MS}, {cold[0] / key[0]:.0f} times as fast"
    )
    print(f"by the processor's time {cold[1] / key[1]:.0f} times as fast")
    return 0


def _call(before: str, after: str, *options: str) -> tuple[float, float]:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    command = [*FORETYPE, *options, f"-:{line}:{column}", "--path", FILE.name]
    spent_before = _server_ms()
    passed, spent = _run(command, (before + after).encode())
    return passed, spent + _server_ms() - spent_before


def _run(command: list[str], data: bytes) -> tuple[float, float]:
    null, started = subprocess.DEVNULL, time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null)
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.close()
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return 1000 * (time.perf_counter() - started), 1000 * (used.ru_utime + used.ru_stime)


def _server_ms() -> float:
    """Return the processor time of the process that answers, 0 if there is none yet."""
    folder = Path(warm.runtime_folder())
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink() == folder:
                schedule = (path / "schedstat").read_text()  # of its main thread, in ns
                return int(schedule.split()[0]) / 1e6
        except OSError:
            continue
    return 0.0


def _row(name: str, times: Times) -> tuple[float, float]:
    passed, spent = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{name:14} p50 {passed:8.1f} ms, {spent:7.1f} ms of a processor, {len(times)} calls")
    return passed, spent


if __name__ == "__main__":
    sys.exit(main())
