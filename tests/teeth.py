"""Says how sharp the tests are of what handles untrusted input: would they notice a fault?

    python -m tests.teeth coverage               lines and branches that its own tests reach
    python -m tests.teeth mutants FILE [--n N]   break it N times, a place at a time, and test

Mutants are drawn by a seed, the same number of each group, and tested in a copy of the checkout,
with the tests that reach the line, quick ones first. FILE gets a JSON line for each; stopped and
run again, it goes on. The last lines say how many were killed. What a test reaches is kept beside
FILE: begin another where tests or modules have changed.
"""

import argparse
import ast
import copy
import importlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.programs import ROOT
from tests.untrusted import GROUPS

SEED = 20_261_130
LIMIT_S = 120  # of CPU for the tests of one mutant, twice that by the clock: no end is noticed, too
TIME_SIGNALS = (signal.SIGALRM, signal.SIGPROF, signal.SIGKILL)
TESTS_S = 30.0  # of the tests of one mutant as they are; what needs more has survived
LEAST_PERCENT = 95.0
NOTICED = ("killed", "time")  # the others: survived, or no test reaches it

LIBRARIES = "hypothesis jsonschema lsprotocol.types numpy pygls.lsp.server tree_sitter".split()
MUTATED = ("privacy", "index", "messages")


def modules(group: str) -> list[Path]:
    patterns = GROUPS[group][0].split()
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


@dataclass(frozen=True)
class Mutant:
    """One change of one place of a module."""

    group: str
    path: str
    line: int
    before: str
    after: str
    start: int  # in bytes of the file
    end: int

    @property
    def key(self) -> str:
        return f"{self.path}:{self.start}:{self.after}"


COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901  a table
    """Yield what could stand in a node's place."""
    changed = copy.deepcopy(node)
    match changed:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            changed.ops = [COMPARISONS[type(op)]()]
        case ast.BoolOp():
            changed.op = ast.Or() if isinstance(changed.op, ast.And) else ast.And()
        case ast.BinOp() if type(changed.op) in SUMS:
            changed.op = SUMS[type(changed.op)]()
        case ast.UnaryOp(op=ast.Not()):
            changed = changed.operand
        case ast.IfExp():
            changed.body, changed.orelse = changed.orelse, changed.body
        case ast.Constant(value=bool()):
            changed.value = not changed.value
        case ast.Constant(value=int()):
            changed.value += 1
        case ast.Expr(value=ast.Call()):
            changed = ast.Pass()
        case ast.Return(value=ast.expr()) if ast.unparse(changed) != "return False":  # as None is
            changed.value = ast.Constant(None)
        case ast.Break():
            changed = ast.Continue()
        case ast.Continue():
            changed = ast.Break()
        case _:
            return
    yield changed


def mutants(group: str) -> Iterator[Mutant]:
    for path in modules(group):
        source = path.read_bytes()
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        for node in meant(ast.parse(source)):
            for changed in changes(node):
                start = starts[node.lineno - 1] + node.col_offset
                end = starts[node.end_lineno - 1] + node.end_col_offset
                after = ast.unparse(changed)
                after = f"({after})" if isinstance(changed, ast.expr) else after
                before = source[start:end].decode()
                name = str(path.relative_to(ROOT))
                if after != before:
                    yield Mutant(group, name, node.lineno, before, after, start, end)


def meant(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes whose change can change what a program does: no types, no words."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "msg"):
            continue
        for node in value if isinstance(value, list) else [value]:
            is_said = isinstance(node, ast.Raise | ast.JoinedStr) or "log." in _head(node)
            is_said |= isinstance(node, ast.keyword) and node.arg == "strict"  # of zip
            if isinstance(node, ast.AST) and not is_said:
                yield node
                yield from meant(node)


def _head(node: object) -> str:
    return (
        ast.unparse(node.value.func)
        if isinstance(node, ast.Expr | ast.Call)
        and isinstance(getattr(node, "value", None), ast.Call)
        else ""
    )


def drawn(n: int, seed: int) -> list[Mutant]:
    dice = random.Random(seed)
    chosen = [dice.sample([*mutants(group)], n // len(MUTATED)) for group in MUTATED]
    return [each for together in zip(*chosen, strict=True) for each in together]


def test_mutants(results: Path, n: int, seed: int, seconds: float) -> None:
    """Test those that `results` does not have, until so many seconds have gone."""
    end_s = time.monotonic() + seconds
    lines = results.read_text().splitlines() if results.exists() else []
    for name in LIBRARIES:
        importlib.import_module(name)
    known = {json.loads(line)["key"] for line in lines}
    with tempfile.TemporaryDirectory() as place:
        names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
        for name in names.split("\0"):
            if name.endswith((".py", ".toml", ".json", ".safetensors", ".md")):
                target = Path(place, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)
        reaches = {group: reach(group, results, Path(place)) for group in MUTATED}
        for number, mutant in enumerate(drawn(n, seed)):
            if mutant.key in known or time.monotonic() > end_s:
                continue
            started_s = time.monotonic()
            tests = reaches[mutant.group].tests_of(mutant)
            verdict = tested(mutant, tests, Path(place), number) if tests else "unreached"
            took_s = round(time.monotonic() - started_s, 1)
            row = {"key": mutant.key, "verdict": verdict, "seconds": took_s, **asdict(mutant)}
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")


@dataclass(frozen=True)
class Reach:
    """Which tests run a line, and how long each of them takes."""

    seconds: dict[str, float]
    lines: dict[str, dict[str, list[str]]]  # of a path, by the number of the line

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return what runs a mutant's place; of what is run at the import, the file."""
        lines = self.lines.get(mutant.path, {})
        first, last = _statement(mutant)
        found = {test for line in range(first, last + 1) for test in lines.get(str(line), ())}
        if "" in found:  # run at the import
            found = {test for tests in lines.values() for test in tests}
        tests = sorted(found - {""}, key=self.seconds.__getitem__)
        sums = itertools.accumulate(map(self.seconds.__getitem__, tests))
        return [test for test, sum_s in zip(tests, sums, strict=True) if sum_s < TESTS_S]


def _statement(mutant: Mutant) -> tuple[int, int]:
    """Return the lines of the smallest statement, or head of one, that a mutant is in."""
    tree = ast.parse((ROOT / mutant.path).read_bytes())
    spans = [(1, 1)]
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno <= mutant.line:
            body = getattr(node, "body", None) or getattr(node, "cases", None)
            last = mutant.line if body else node.end_lineno
            if last and last >= mutant.line:
                spans.append((node.lineno, last))
    return max(spans)


def reach(group: str, results: Path, place: Path) -> Reach:
    """Run a group's tests once, watched; what they reached is kept beside the results."""
    kept = results.with_suffix(f".{group}.json")
    if not kept.exists() and not (child := os.fork()):
        status = 1
        try:
            status = watch(group, kept, place)
        finally:
            os._exit(status)
    elif not kept.exists() and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"the tests of {group} fail as they are")
    return Reach(**json.loads(kept.read_text()))


class Watch:
    """A plugin of pytest: coverage of each test by itself, and its time."""

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        started_s = time.monotonic()
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")
            self.seconds[item.nodeid] = time.monotonic() - started_s


def watch(group: str, kept: Path, place: Path) -> int:
    names = {str(path.relative_to(ROOT)) for path in modules(group)}
    coverage = importlib.import_module("coverage").Coverage(
        data_file=None,
        branch=True,
        include=[str(place / name) for name in names],
        config_file=False,
    )
    coverage.start()
    plugin = Watch(coverage)
    status = run_tests(place, GROUPS[group][1].split(), plugin)
    coverage.stop()
    data = coverage.get_data()
    lines = {name: data.contexts_by_lineno(str(place / name)) for name in names}
    kept.write_text(json.dumps({"seconds": plugin.seconds, "lines": lines}))
    return status


def tested(mutant: Mutant, tests: list[str], place: Path, number: int) -> str:
    """Return "killed", "survived" or "time" for a mutant in the copy at `place`."""
    path = place / mutant.path
    source = path.read_bytes()
    path.write_bytes(source[: mutant.start] + mutant.after.encode() + source[mutant.end :])
    os.utime(path, (10**9 + number, 10**9 + number))  # no compiled file is taken for its own
    if not (child := os.fork()):  # with the libraries imported, and nothing of ours
        status = 1
        try:
            signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
            signal.alarm(2 * LIMIT_S)
            status = run_tests(place, tests)
        finally:
            os._exit(status)
    # A thread that waits for ever keeps it from ending, when its alarm is over.
    late = threading.Timer(3 * LIMIT_S, os.kill, (child, signal.SIGKILL))
    late.start()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    late.cancel()
    late.join()
    path.write_bytes(source)
    return "survived" if status == 0 else "time" if -status in TIME_SIGNALS else "killed"


def run_tests(place: Path, tests: list[str], *plugins: object) -> int:
    os.chdir(place)
    os.environ.update(CI="1", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    sys.path = [entry for entry in sys.path if entry not in ("", str(ROOT))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    options = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:unraisableexception"]
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    return int(pytest.main([*options, *tests], plugins))


def report(results: Path) -> Iterator[str]:
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    yield "| group | mutants | killed | share | 95% interval |"
    yield "|---|---:|---:|---:|---|"
    for group in (*MUTATED, "all"):
        own = [row for row in rows if group in ("all", row["group"])]
        if own:
            n_killed = sum(row["verdict"] in NOTICED for row in own)
            low, high = wilson(n_killed, len(own))
            share = f"{100 * n_killed / len(own):.0f}%"
            interval = f"{100 * low:.0f} to {100 * high:.0f}%"
            yield f"| {group} | {len(own)} | {n_killed} | {share} | {interval} |"
    for row in rows:
        if row["verdict"] not in NOTICED:
            yield f"{row['path']}:{row['line']}: {row['before']!r} -> {row['after']!r}"


def wilson(k: int, n: int) -> tuple[float, float]:
    """Return the ends of the 95% interval of a share."""
    z = 1.96
    middle, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return (middle - half) / (n + z * z), (middle + half) / (n + z * z)


def cover(group: str, place: Path) -> bool:
    """Run a group's tests and print what of its modules they do not reach."""
    names = ",".join(str(path.relative_to(ROOT)) for path in modules(group))
    data = ["--data-file", str(place / group)]
    coverage = [sys.executable, "-m", "coverage"]
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "--no-header"]
    tests = ["-m", "pytest", *options, *GROUPS[group][1].split()]
    run: Callable[..., object] = subprocess.run
    run([*coverage, "run", *data, "--branch", f"--include={names}", *tests], cwd=ROOT, check=True)
    told = [*coverage, "report", *data, "--show-missing", f"--fail-under={LEAST_PERCENT}"]
    return subprocess.run(told, cwd=ROOT).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("coverage", "mutants"))
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--n", type=int, default=201, help="mutants in all")
    parser.add_argument("--seed", type=int, default=SEED, help="other mutants")
    parser.add_argument("--seconds", type=float, default=10**6, help="of this run, about")
    options = parser.parse_args()
    if options.what == "mutants":
        test_mutants(options.results, options.n, options.seed, options.seconds)
        if options.results.exists():
            print("\n".join(report(options.results)))
        return 0
    with tempfile.TemporaryDirectory() as place:
        n_short = sum(not cover(group, Path(place)) for group in GROUPS)
    return 1 if n_short else 0


if __name__ == "__main__":
    raise SystemExit(main())
