"""Times the index on a real tree: `python -m tests.benchmarks.bench_index FOLDER [--check]`.

Builds an index of the folder as an editor would (secret scan included), asks it about cursors drawn
from the folder's own files, types into an open document, and measures the process. Beside each
figure stands a baseline's, measured in the same run: SQLite's trigram index for building, a plain
scan of the text by bytes.rfind and a forward suffix array that is searched anew for each length
(infini-gram's way) for looking up, and a refresh from disk for what an edit costs.

Both the wall clock and CPU time are printed: on a busy machine only the second means something.
With --check, budgets that are missed (CPU time, medians) end in exit code 1.
"""

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydivsufsort import divsufsort, sa_search

from assistant.index.builder import BuildLimits, refresh
from assistant.index.folder_index import FolderIndex
from assistant.index.matches import MAX_CONTEXT
from assistant.index.segment import END, SegmentSource

BUDGETS = {"seconds per 1M lines": 10.0, "edit": 5.0, "longest match": 1.0, "narrowing": 0.2}
N_SLOW = 25  # cursors for a baseline that takes long


@dataclass(frozen=True)
class Query:
    path: str
    context: bytes


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    root = Path(options.folder).absolute()
    if options.resident:
        return _print_resident(Path(options.resident), root, options)
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "index"
        texts = _build(root, folder, missed)
        index = FolderIndex(folder)
        cursors = _cursors(texts, options.n, options.seed)
        _lookups(index, texts, cursors, missed)
        _edits(index, texts, root, Path(place), missed, options.seed)
        _resident(folder, root, options)
    for line in missed:
        print(f"over budget: {line}")
    return 1 if missed and options.check else 0


def _build(root: Path, folder: Path, missed: list[str]) -> dict[str, bytes]:
    wall_s, cpu_s = _timed(lambda: refresh(root, folder, BuildLimits(max_text_bytes=1 << 30)))
    index = FolderIndex(folder)
    texts = {
        path: opened.segment.text_of(number)
        for opened in index.view.opened
        for path, number in opened.files.items()
    }
    n_text = sum(map(len, texts.values()))
    n_lines = sum(text.count(b"\n") for text in texts.values())
    n_disk = sum(opened.segment.n_bytes for opened in index.view.opened)
    print(f"{root}: {len(texts)} files, {n_lines} lines, {n_text / 1e6:.1f} MB of text")
    per_million = cpu_s * 1e6 / n_lines
    print(
        f"build: {wall_s:.1f} s on the clock, {cpu_s:.1f} s of CPU time,"
        f" {n_lines / cpu_s:,.0f} lines/s; seconds per 1M lines {per_million:.1f}"
        f" (clock {wall_s * 1e6 / n_lines:.1f})"
    )
    _judge("seconds per 1M lines", per_million, missed)
    again_wall_s, again_cpu_s = _timed(
        lambda: refresh(root, folder, BuildLimits(max_text_bytes=1 << 30))
    )
    print(f"refresh without a change: {again_wall_s:.2f} s, {again_cpu_s:.2f} s CPU")
    with tempfile.TemporaryDirectory() as place:
        baseline_wall_s, baseline_cpu_s = _timed(lambda: _trigrams(Path(place) / "t.db", texts))
        n_baseline = (Path(place) / "t.db").stat().st_size
    print(
        f"baseline, SQLite trigrams: {baseline_wall_s:.1f} s, {baseline_cpu_s:.1f} s CPU"
        f" ({baseline_cpu_s / cpu_s:.1f} x ours, without a secret scan)"
    )
    print(
        f"disk: {n_disk / n_text:.2f} bytes per byte of text in {len(index.view.opened)} segments;"
        f" baseline {n_baseline / n_text:.2f}"
    )
    return texts


def _trigrams(path: Path, texts: dict[str, bytes]) -> None:
    base = sqlite3.connect(path)
    base.execute("pragma synchronous = off")
    base.execute("create virtual table t using fts5(path, text, tokenize='trigram')")
    rows = ((name, text.decode("utf-8", "replace")) for name, text in texts.items())
    base.executemany("insert into t values (?, ?)", rows)
    base.commit()
    base.close()


def _cursors(texts: dict[str, bytes], n: int, seed: int) -> list[Query]:
    dice = random.Random(seed)
    long_enough = [path for path, text in sorted(texts.items()) if len(text) > 2 * MAX_CONTEXT]
    cursors = []
    for _ in range(n):
        path = dice.choice(long_enough)
        at = dice.randrange(64, len(texts[path]))
        cursors.append(Query(path, texts[path][max(0, at - MAX_CONTEXT) : at]))
    return cursors


def _lookups(
    index: FolderIndex,
    texts: dict[str, bytes],
    cursors: list[Query],
    missed: list[str],
) -> None:
    for query in cursors[:50]:
        index.levels(query.context, path=query.path)  # pages come in
    longest = [_each(lambda q=q: _longest(index, q)) for q in cursors]
    narrowing: list[float] = []
    for query in cursors:
        sources = _sources(index, query)
        length = max(source.longest for source in sources)
        narrowing += [
            _each(lambda s=sources, n=shorter: [source.count(n) for source in s])
            for shorter in range(length - 1, max(3, length - 9), -1)
        ]
    levels = [_each(lambda q=q: index.levels(q.context, path=q.path)) for q in cursors]
    text = END.join(texts.values())
    slow = cursors[:N_SLOW]
    scanned = [_each(lambda q=q: _by_scanning(text, q.context)) for q in slow]
    order = divsufsort(text)
    forward = np.frombuffer(text, np.uint8).copy()
    searched = [_each(lambda q=q: _by_searching(forward, order, q.context)) for q in cursors]
    print(f"lookups at {len(text) / 1e6:.1f} MB, ms of CPU time, p50 / p95:")
    print(f"  longest match {_spread(longest)}")
    print(f"    baseline, bytes.rfind for each length tried: {_spread(scanned)}")
    print(f"    baseline, forward suffix array, each length anew: {_spread(searched)}")
    print(f"  narrowing to one shorter length {_spread(narrowing)}")
    print(f"  all levels with their samples {_spread(levels)}")
    ratio = _p(scanned, 50) / _p(longest, 50)
    print(f"  longest match: {ratio:,.0f} x as fast as the scan,", end=" ")
    print(f"{_p(searched, 50) / _p(longest, 50):.1f} x as fast as the forward array")
    _judge("longest match", _p(longest, 50), missed)
    _judge("narrowing", _p(narrowing, 50), missed)


def _sources(index: FolderIndex, query: Query) -> list[SegmentSource]:
    return [opened.source(query.context, {query.path}) for opened in index.view.opened]


def _longest(index: FolderIndex, query: Query) -> int:
    return max(source.longest for source in _sources(index, query))


def _by_scanning(text: bytes, context: bytes) -> int:
    """The longest end of the context that the text has, the query's own file included."""
    return _bisected(context, lambda end: text.rfind(end) >= 0)


def _by_searching(text: np.ndarray, order: np.ndarray, context: bytes) -> int:
    return _bisected(context, lambda end: sa_search(text, order, end)[0] > 0)


def _bisected(context: bytes, has: Callable[[bytes], bool]) -> int:
    low, high = 0, len(context)
    while low < high:
        middle = (low + high + 1) // 2
        if has(context[len(context) - middle :]):
            low = middle
        else:
            high = middle - 1
    return low


def _edits(
    index: FolderIndex,
    texts: dict[str, bytes],
    root: Path,
    place: Path,
    missed: list[str],
    seed: int,
) -> None:
    """Type a line that is nowhere into an open document, and look for it from another."""
    dice = random.Random(seed)
    path = min(texts, key=lambda item: abs(len(texts[item]) - 50_000))
    text = texts[path].decode("utf-8", "replace")
    index.set_open(path, text)
    index.levels(b"warm up", path="other.py")
    seen = []
    for number in range(60):
        at = text.find("\n", dice.randrange(len(text) // 2)) + 1
        edited = f"{text[:at]}zyx_{number} = qwv({number})\n{text[at:]}"
        context = f"zyx_{number} = qwv(".encode()
        seen.append(_each(lambda t=edited, c=context: _type(index, path, t, c)))
    index.close_open(path)
    small = place / "small"
    small.mkdir()
    (small / "a.py").write_text(text, encoding="utf-8")
    refresh(small, place / "small-index")
    baseline = []
    for number in range(10):
        (small / "a.py").write_text(f"{text}zyx = {number}\n", encoding="utf-8")
        baseline.append(_each(lambda: refresh(small, place / "small-index")))
    print(f"an edit of a document of {len(text) / 1000:.0f} KB until it is found, ms of CPU")
    print(
        f"  time, p50 / p95: {_spread(seen)}; baseline, saving and refreshing: {_spread(baseline)}"
    )
    _judge("edit", _p(seen, 50), missed)


def _type(index: FolderIndex, path: str, text: str, context: bytes) -> None:
    index.set_open(path, text)
    levels = index.levels(context, path="other.py")
    assert levels[0].length >= len(context), "the edit is not found"


def _resident(folder: Path, root: Path, options: argparse.Namespace) -> None:
    """Ask the same from a fresh process, which has nothing else in its RAM."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_index", str(root)]
    command += ["--resident", str(folder), "--n", str(options.n), "--seed", str(options.seed)]
    subprocess.run(command, check=True)


def _print_resident(folder: Path, root: Path, options: argparse.Namespace) -> int:
    before = _smaps()
    index = FolderIndex(folder)
    opened = _smaps()
    dice = random.Random(options.seed)
    every = [(item, n) for item in index.view.opened for n in item.files.values()]
    for item, number in dice.sample(every, min(options.n, len(every))):
        text = item.segment.text_of(number)
        index.levels(text[: len(text) // 2][-MAX_CONTEXT:], path="other.py")
    after = _smaps()
    print(f"resident, in a process of its own, after {options.n} cursors about {root.name}:")
    print(f"  anonymous {after[0]:.0f} MB, of which the index {after[0] - before[0]:.0f} MB")
    print(f"  mapped {after[1]:.0f} MB ({opened[1]:.0f} MB after the check at opening)")
    return 0


def _smaps() -> tuple[float, float]:
    """Return megabytes (anonymous, mapped from files) of this process."""
    fields = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) / 1024
    return fields["Anonymous"], fields["Rss"] - fields["Anonymous"]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _each(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time."""
    started = time.thread_time()
    work()
    return 1_000 * (time.thread_time() - started)


def _p(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _spread(values: list[float]) -> str:
    return f"{_p(values, 50):.3f} / {_p(values, 95):.3f}"


def _judge(name: str, value: float, missed: list[str]) -> None:
    if value > BUDGETS[name]:
        missed.append(f"{name}: {value:.2f}, at most {BUDGETS[name]:g} wanted")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("folder", help="a large folder of source")
    parser.add_argument("--n", type=int, default=300, help="cursors (default: 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="exit code 1 if a budget is missed")
    parser.add_argument("--resident", default="", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
