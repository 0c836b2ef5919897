"""Times the choice of snippets: `python -m tests.benchmarks.bench_snippets FOLDER [--mb 5]`.

Reads the Python files of a folder, asks for snippets at cursors drawn from them, and tells how many
of the names wanted on the rest of the line can be copied from what is shown. The rival, measured in
the same run on fewer cursors, is the plain way: Jaccard similarity of the identifiers of the last
lines with every window of twelve lines, best first, until the budget is used up.
"""

from __future__ import annotations

import argparse
import keyword
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.snippets.search import SnippetSearch
from model.fim import Snippet

BUDGET_CHARS = 430
WINDOW_LINES = 12
N_SLOW = 20  # cursors for the rival
_NAME = re.compile(r"[A-Za-z_]\w{2,}")

Choose = Callable[["Cursor"], Sequence[Snippet]]


@dataclass(frozen=True)
class Cursor:
    path: str
    before: str
    after: str
    wanted: frozenset[str]  # names on the rest of the line


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mb", type=float, default=5.0, help="of code at most (default: 5)")
    parser.add_argument("-n", type=int, default=300, help="cursors (default: 300)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    files = _files(options.folder, options.mb)
    n_mb = sum(map(len, files.values())) / 1e6
    print(f"{len(files)} files, {n_mb:.1f} MB")
    started = time.process_time()
    source = SnippetSearch(files.items())
    took = time.process_time() - started
    print(f"read       {took:.2f} s, {took / n_mb:.2f} s/MB (processor time)")
    cursors = _cursors(files, options.n, options.seed)

    def ours(cursor: Cursor) -> Sequence[Snippet]:
        return source.snippets(
            path=cursor.path,
            before=cursor.before,
            after=cursor.after,
            budget_chars=BUDGET_CHARS,
        )

    mean_ms = _measured("snippets", ours, cursors)
    _measured("  the same cursors as Jaccard", ours, cursors[:N_SLOW])
    rival_ms = _measured("Jaccard", _Jaccard(files), cursors[:N_SLOW])
    print(f"snippets are chosen {rival_ms / mean_ms:.0f} times as fast as by plain Jaccard")
    return 0


def _files(folder: Path, n_mb: float) -> dict[str, str]:
    files: dict[str, str] = {}
    room = n_mb * 1e6
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        room -= len(text)
        if room < 0:
            break
        files[path.relative_to(folder).as_posix()] = text
    return files


def _cursors(files: dict[str, str], n: int, seed: int) -> list[Cursor]:
    draws = random.Random(seed)
    paths = [path for path, text in files.items() if len(text) > 200]
    found: list[Cursor] = []
    while len(found) < n:
        path = draws.choice(paths)
        text = files[path]
        at = draws.randrange(len(text))
        end = text.find("\n", at)
        rest = text[at : end if end >= 0 else len(text)]
        wanted = frozenset(name for name in _NAME.findall(rest) if not keyword.iskeyword(name))
        if wanted:
            start = text.rfind("\n", 0, at) + 1
            found.append(Cursor(path, text[:start], text[at + len(rest) :], wanted))
    return found


def _measured(name: str, choose: Choose, cursors: Sequence[Cursor]) -> float:
    times_ms, n_shown, n_wanted = [], 0, 0
    for cursor in cursors:
        started = time.process_time()
        snippets = choose(cursor)
        times_ms.append(1_000 * (time.process_time() - started))
        shown = set(_NAME.findall(" ".join(snippet.text for snippet in snippets)))
        n_shown += len(cursor.wanted & shown)
        n_wanted += len(cursor.wanted)
    mean, slow = sum(times_ms) / len(times_ms), sorted(times_ms)[int(0.95 * len(times_ms))]
    print(
        f"{name}: mean {mean:.1f} ms, p95 {slow:.1f} ms;"
        f" {n_shown / n_wanted:.1%} of the names wanted are in what is shown"
    )
    return mean


class _Jaccard:
    """Every window of twelve lines, compared with the last twelve before the cursor."""

    def __init__(self, files: dict[str, str]) -> None:
        self._windows: list[tuple[str, str, frozenset[str]]] = []
        for path, text in files.items():
            lines = text.split("\n")
            for start in range(0, len(lines), WINDOW_LINES // 2):
                part = "\n".join(lines[start : start + WINDOW_LINES])
                self._windows.append((path, part, frozenset(_NAME.findall(part))))

    def __call__(self, cursor: Cursor) -> list[Snippet]:
        last = "\n".join(cursor.before.split("\n")[-WINDOW_LINES:])
        names = frozenset(_NAME.findall(last))
        ranked = sorted(
            (
                (-len(names & have) / (len(names | have) or 1), number)
                for number, (path, _, have) in enumerate(self._windows)
                if path != cursor.path
            ),
        )
        room, chosen = BUDGET_CHARS, []
        for _, number in ranked[:20]:
            path, part, _ = self._windows[number]
            text = part[: max(0, room - len(path) - 2)]
            if len(text) < 24:
                break
            chosen.append(Snippet(path, text))
            room -= len(path) + len(text) + 2
        return chosen


if __name__ == "__main__":
    raise SystemExit(main())
