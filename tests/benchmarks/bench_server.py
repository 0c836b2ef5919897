"""Times the language server as an editor meets it: `python -m tests.benchmarks.bench_server`.

Spawns `foretype lsp` and types through a real file key by key over raw messages, asking after each
key. Prints the times, their budgets, and the memory that is the process's own. Beside the start of
ours stands the time to import pygls alone, which it runs on.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.source.languages import language_name
from tests.e2e.raw_client import ROOT, Client, ServerProcess

BUDGETS = {
    "spawn to initialize": "<= 500",
    "spawn to first suggestion": "<= 1500",
    "warm keystroke p50": "<= 40",
    "own memory": "<= 300",
}
DEFAULT_FILE = ROOT / "lsp" / "documents.py"
# By the file's ending: what begins a function, and what stands behind it.
FUNCTIONS = {
    ".py": ("def ", "\n\n\n"), ".go": ("func ", "\n}\n"), ".rs": ("fn ", "\n    }\n"),
    ".java": ("public ", "\n    }\n"), ".ts": ("function ", "\n}\n"),
}  # fmt: skip
GIVE_UP_S = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    file = Path(options.file)
    text, uri = file.read_text(encoding="utf-8"), f"file:///project/{file.name}"
    head, end = FUNCTIONS[file.suffix]
    started = time.perf_counter()
    with ServerProcess(command=[sys.executable, "-m", "foretype", "lsp"]) as server:
        client = server.client
        model = {"model": options.model} if options.model else {}
        client.initialize(
            "utf-32",
            initializationOptions={
                **model,
                "deadline_ms": 2000,
                "show": "eager",
                "statistics": False,
            },
        )
        initialize_ms = _ms_since(started)
        initialize_cpu_ms = _cpu_ms(server.process.pid)
        at = text.index(head, len(text) // 3) + len(head)
        rest = text.find(end, at)  # the file is opened as it is before the function is typed
        shown = text[:at] + (text[rest:] if rest >= 0 else "")
        client.open(uri, shown, language=language_name(file.name))
        first_ms = _until_suggestion(client, started, uri, *_place(text, at))
        first_cpu_ms = _cpu_ms(server.process.pid)
        keys_ms, n_offered = _type(client, uri, text, at, options.keys)
        memory_mb = own_memory_mb(server.process.pid)
        server.finish()
    _row("spawn to initialize", initialize_ms, "ms")
    _row("  of it on a processor", initialize_cpu_ms, "ms")
    _row("spawn to first suggestion", first_ms, "ms")
    _row("  of it on a processor", first_cpu_ms, "ms")
    _row("warm keystroke p50", statistics.median(keys_ms), "ms")
    _row("warm keystroke p95", statistics.quantiles(keys_ms, n=20)[-1], "ms")
    _row("keys with a suggestion", 100 * n_offered / len(keys_ms), "%")
    _row("own memory", memory_mb, "MB")
    _row("(import of pygls alone", _import_ms("pygls.lsp.server"), "ms)")
    return 0


def _place(text: str, at: int) -> tuple[int, int]:
    before = text[:at]
    return before.count("\n"), at - (before.rfind("\n") + 1)


def _until_suggestion(client: Client, started: float, uri: str, line: int, column: int) -> float:
    while not client.inline(uri, line, column)["items"]:
        if time.perf_counter() - started > GIVE_UP_S:
            raise SystemExit("no suggestion came: is there a model? try --model")
    return _ms_since(started)


def _type(client: Client, uri: str, text: str, at: int, n_keys: int) -> tuple[list[float], int]:
    """Type `n_keys` characters of the file, one edit and one request for each."""
    times_ms, n_offered = [], 0
    for number in range(n_keys):
        line, column = _place(text, at + number)
        place: dict[str, Any] = {"line": line, "character": column}
        key = text[at + number]
        started = time.perf_counter()
        client.change(uri, number + 2, {"range": {"start": place, "end": place}, "text": key})
        result = client.inline(uri, *_place(text, at + number + 1))
        times_ms.append(_ms_since(started))
        n_offered += bool(result["items"])
    return times_ms, n_offered


def own_memory_mb(pid: int) -> float:
    """Anonymous memory: mapped files are shared and can be dropped."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        return float("nan")
    lines = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
    return int(lines["Anonymous"].split()[0]) / 1024


def _cpu_ms(pid: int) -> float:
    """Processor time used so far, which other load on the machine hardly changes."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return float("nan")
    fields = stat.read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _import_ms(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return 1000 * float(done.stdout)


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def _row(name: str, value: float, unit: str) -> None:
    print(f"{name:28} {value:8.1f} {unit:4} {BUDGETS.get(name, '')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_server", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="a model folder; default: the bundled one")
    parser.add_argument("--file", default=str(DEFAULT_FILE), help="the file to type through")
    parser.add_argument("--keys", type=int, default=200, help="how many keys to type")
    return parser


if __name__ == "__main__":
    sys.exit(main())
