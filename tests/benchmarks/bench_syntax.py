"""Times syntax at keystrokes: `python -m tests.benchmarks.bench_syntax [FILE ...]`.

Types lines of each file (the first 2,000; default: our own code) key by key. At each key the tree
of what stands above is asked for, and whether the rest of the line may stand. Prints CPU time, also
of a full parse of the same text at every tenth key, and the ratio of the two.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from assistant.request import CompletionRequest
from assistant.source.languages import language_of
from assistant.source.open_trees import OpenTrees
from assistant.source.syntax import parse_head

ROOT = Path(__file__).resolve().parents[2]
N_LINES, FULL_EVERY = 2_000, 10


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path)
    parser.add_argument("--lines", type=int, default=25, help="typed in each file (default: 25)")
    options = parser.parse_args(argv)
    for path, text in [(str(p), p.read_text("utf-8")) for p in options.files] or [_own_code()]:
        lines = text.split("\n")[:N_LINES]
        draws = random.Random(0)
        keys_ms, full_ms = [], []
        trees = OpenTrees()
        typed = [n for n in range(1, len(lines)) if len(lines[n].strip()) > 4]
        for number in sorted(draws.sample(typed, options.lines)):
            above, line = "\n".join(lines[:number]) + "\n", lines[number]
            below = "\n" + "\n".join(lines[number + 1 :])
            for column in range(len(line) - len(line.lstrip()), len(line)):
                offset = len(above) + column
                whole = above + line[:column] + below
                asked = CompletionRequest(path=path, text=whole, offset=offset)
                started = time.thread_time()
                trees.valid(asked, line[column:])
                keys_ms.append(1_000 * (time.thread_time() - started))
                if len(keys_ms) % FULL_EVERY == 1:
                    started = time.thread_time()
                    parse_head(whole, offset, language_of(path))
                    full_ms.append(1_000 * (time.thread_time() - started))
        (p50, p95), (f50, f95) = _levels(keys_ms), _levels(full_ms)
        name = Path(path).name
        print(
            f"{name}: {len(lines)} lines, {len(keys_ms)} keys, a key {p50:.2f} ms (p95 {p95:.2f});"
        )
        print(f"  parsed anew {f50:.2f} ms (p95 {f95:.2f}): {f50 / p50:.1f} times as long")
    return 0


def _own_code() -> tuple[str, str]:
    files = sorted((ROOT / "assistant").rglob("*.py"))
    return "own.py", "\n".join(file.read_text("utf-8") for file in files)


def _levels(values: list[float]) -> tuple[float, float]:
    values.sort()
    return values[len(values) // 2], values[int(0.95 * len(values))]


if __name__ == "__main__":
    sys.exit(main())
