"""Times `foretype serve` under load: `python -m tests.benchmarks.bench_serve`.

Clients type at once, each in a place of its own: one character more with each request, the next one
as soon as the last is answered. They ask as foretype's remote side does, for the rest of the line.
Beside the times that pass stands the processor's, which other load hardly changes. Linux.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from assistant.generate.prompt import window_start
from tests.e2e.raw_client import ROOT
from tests.generated_docs import table_of

CLIENTS = (1, 4, 16)
PREFIX_CHARS, SUFFIX_CHARS = 4_000, 1_500
HEADS = ("clients", "requests", "p50", "p95", "longest", "processor for each")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench_serve", description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=40, help="that each client types")
    parser.add_argument("--model", default=[], action="append", help="as `foretype serve` takes it")
    options = parser.parse_args(argv)
    model = [word for name in options.model for word in ("--model", name)]
    command = [sys.executable, str(ROOT / "foretype.py"), "serve", "--port", "0", *model]
    command += ["--requests-per-minute", "65535", "--deadline", "120"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            _, _, name, _, url = server.stdout.readline().split()
            rows = [_measure(server.pid, url, name, n, options.keys) for n in CLIENTS]
        finally:
            server.terminate()
    print(table_of(HEADS, rows))
    return 0


def _measure(pid: int, url: str, model: str, n_clients: int, n_keys: int) -> list[str]:
    files = sorted((ROOT / "assistant").rglob("*.py"), key=lambda path: -path.stat().st_size)
    texts = [file.read_text(encoding="utf-8") for file in files[:n_clients]]
    before_ms = _processor_ms(pid)
    with ThreadPoolExecutor(n_clients) as pool:
        found = pool.map(lambda text: _type(url, model, text, n_keys), texts)
        times = sorted(ms for each in found for ms in each)
    each_ms = (_processor_ms(pid) - before_ms) / len(times)
    p95 = times[int(0.95 * len(times))]
    shown = [f"{ms:.0f} ms" for ms in (statistics.median(times), p95, times[-1])]
    return [str(n_clients), str(len(times)), *shown, f"{each_ms:.0f} ms"]


def _processor_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1_000 * sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _type(url: str, model: str, text: str, n_keys: int) -> list[float]:
    times = []
    start = text.index("\n", len(text) // 2) + 1
    end = text.index("\n", start + n_keys)
    with httpx2.Client(timeout=240) as client:
        for at in range(start, start + n_keys):
            prompt = text[window_start(text, at, PREFIX_CHARS) : at]
            asked: dict[str, Any] = {
                "model": model, "prompt": prompt, "suffix": text[end : end + SUFFIX_CHARS],
                "max_tokens": 64, "stop": "\n", "temperature": 0,
            }  # fmt: skip
            before = time.perf_counter()
            answer = client.post(f"{url}/completions", json=asked)
            times.append(1_000 * (time.perf_counter() - before))
            assert answer.status_code == 200, answer.text
    return times


if __name__ == "__main__":
    sys.exit(main())
