"""`foretype train eval-infilling`: fill the holes of HumanEval-Infilling and run the tests.

Generated code runs in a sandbox (Linux) or, if you say so, without one. A table on stdout, JSON in
a file; the same model and seed give the same report.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from assistant.generate.backend import LocalBackend, open_backend
from model.folder import BUNDLED, load_folder
from training.cli import existing_folder, n_threads
from training.data.corpus import Split
from training.data.progress import Progress
from training.evaluation import command, sandbox
from training.evaluation.infilling import Filling, Task, fill, load_tasks, sample
from training.evaluation.intervals import Interval, macro_mean
from training.evaluation.sandbox import SandboxError, Verdict
from training.evaluation.verbatim import CopySearch

PROG = "foretype train eval-infilling"
Judge = Callable[[Task, str], Verdict]
BACKLOG = 16  # programs that wait to be judged; then the network waits, too
RUN_TOKENS = 20  # two or three lines of code; shorter runs are common coin


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A task with what was written and what came of it."""

    task: Task
    filling: Filling
    verdict: Verdict

    @property
    def is_exact(self) -> bool:
        """Say whether the author's own text was written."""
        return self.task.is_exact(self.filling.text)

    @property
    def has_ended(self) -> bool:
        """Say whether the model came to an end: its end token or, of a line, the line's."""
        wanted = ("stop", "lines") if self.task.kind == "single-line" else ("stop",)
        return self.filling.finish_reason in wanted


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    args = _parser().parse_args(argv)
    return command.report_on(PROG, lambda: _contained(args), table, args.json)


def _contained(args: argparse.Namespace) -> dict[str, Any]:
    try:
        if not args.unsandboxed:
            sandbox.require_isolation()
        return evaluate(args)
    except SandboxError as error:
        raise ValueError(
            f"{error}\nGenerated code would run with your rights; --unsandboxed accepts that."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = command.parser(PROG, __doc__)
    parser.add_argument("files", type=Path, nargs="+", help="the benchmark's .jsonl or .jsonl.gz")
    parser.add_argument("--limit", type=command.count, help="tasks of each file (default: all)")
    parser.add_argument(
        "--corpus", type=existing_folder, help="prepared corpus: look in it for verbatim copies"
    )
    parser.add_argument(
        "--run-tokens",
        type=command.count,
        default=RUN_TOKENS,
        help=f"words and marks in a row that make a copy (default: {RUN_TOKENS})",
    )
    parser.add_argument(
        "--unsandboxed", action="store_true", help="run generated code with your own rights"
    )
    return parser


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Return the report: for each file pass@1 and exact matches, and every answer."""
    benchmarks = [sample(load_tasks(path), args.limit, seed=args.seed) for path in args.files]
    split = Split(args.corpus) if args.corpus else None  # its faults are told before the long work
    folder = load_folder(args.model or BUNDLED)
    backend = open_backend(str(args.model or BUNDLED), threads=1)

    def judge(task: Task, text: str) -> Verdict:
        return sandbox.run(task.exercise(text), isolated=not args.unsandboxed)

    outcomes = [list(answered(tasks, backend, judge)) for tasks in benchmarks]
    report = {
        "model": folder.info.name,
        "content_hash": folder.content_hash,
        "plan": {"limit": args.limit, "seed": args.seed, "sandboxed": not args.unsandboxed},
        "benchmarks": [_summary(found) for found in outcomes],
    }
    if split is not None:
        report["verbatim"] = _verbatim(
            [outcome for found in outcomes for outcome in found], split, args.run_tokens
        )
    report["answers"] = [_answer(outcome) for found in outcomes for outcome in found]
    return report


def answered(tasks: Sequence[Task], backend: LocalBackend, judge: Judge) -> Iterator[Outcome]:
    """Yield the outcome of each task in order; code is judged while the network goes on."""
    progress, done, passed = Progress(tasks[0].kind, len(tasks)), 0, 0
    pool = ThreadPoolExecutor(max_workers=n_threads())
    try:
        for outcome in _in_order(tasks, backend, judge, pool):
            done += 1
            passed += outcome.verdict.passed
            progress.show(done, f"{passed} passed", last=done == len(tasks))
            yield outcome
    finally:  # when interrupted, what still waits is not run
        pool.shutdown(cancel_futures=True)


def _in_order(
    tasks: Sequence[Task], backend: LocalBackend, judge: Judge, pool: ThreadPoolExecutor
) -> Iterator[Outcome]:
    pending: deque[tuple[Task, Filling, Future[Verdict]]] = deque()
    for number, asked in enumerate(tasks, 1):
        written = fill(backend, asked)
        pending.append((asked, written, pool.submit(judge, asked, written.text)))
        while len(pending) > (BACKLOG if number < len(tasks) else 0):
            task, filling, verdict = pending.popleft()
            yield Outcome(task=task, filling=filling, verdict=verdict.result())


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "kind": outcomes[0].task.kind,
        "tasks": len(outcomes),
        "problems": len({outcome.task.problem for outcome in outcomes}),
        "pass_at_1": _interval(outcomes, [outcome.verdict.passed for outcome in outcomes]),
        "exact": _interval(outcomes, [outcome.is_exact for outcome in outcomes]),
        "ended": sum(outcome.has_ended for outcome in outcomes) / len(outcomes),
        "reasons": dict(Counter(outcome.verdict.reason for outcome in outcomes).most_common()),
    }


def _interval(outcomes: Sequence[Outcome], values: Sequence[bool]) -> dict[str, float]:
    by_problem: dict[str, list[float]] = {}
    for outcome, value in zip(outcomes, values, strict=True):
        by_problem.setdefault(outcome.task.problem, []).append(float(value))
    return dataclasses.asdict(macro_mean({"all": by_problem}))


def _verbatim(outcomes: Sequence[Outcome], split: Split, run_tokens: int) -> dict[str, Any]:
    """Say how much of the answers stands in the corpus, and how much of the authors' texts does."""
    texts = [outcome.filling.text for outcome in outcomes]
    texts += [outcome.task.canonical_solution for outcome in outcomes]
    search = CopySearch(texts, run_tokens=run_tokens)
    search.look_in(_documents(split))
    halves = {"generated": range(len(outcomes)), "authors": range(len(outcomes), len(texts))}
    return {
        "run_tokens": run_tokens,
        **{name: dataclasses.asdict(search.copies(half)) for name, half in halves.items()},
    }


def _documents(split: Split) -> Iterator[str]:
    progress = Progress("corpus", len(split))
    for index in range(len(split)):
        yield split.text_bytes(index).decode("utf-8")
        progress.show(index + 1, last=index + 1 == len(split))


def _answer(outcome: Outcome) -> dict[str, Any]:
    return {
        "task_id": outcome.task.task_id,
        **dataclasses.asdict(outcome.filling),
        "exact": outcome.is_exact,
        **dataclasses.asdict(outcome.verdict),
    }


def table(report: dict[str, Any]) -> str:
    """Return the report as text, without the answers."""
    row = "{:<20}{:>7}{:>10}  {:<22}{:<22}{:>9}".format
    lines = [
        f"{report['model']} on HumanEval-Infilling",
        "",
        row("hole", "tasks", "problems", "pass@1 [95%]", "exact [95%]", "ended"),
    ]
    for found in report["benchmarks"]:
        pass_at_1, exact = (str(Interval(**found[name])) for name in ("pass_at_1", "exact"))
        ended = f"{100 * found['ended']:.1f}%"
        lines.append(row(found["kind"], found["tasks"], found["problems"], pass_at_1, exact, ended))
    if "verbatim" in report:
        found = report["verbatim"]
        lines += ["", f"runs of {found['run_tokens']} tokens that stand in the corpus:"]
        for name in ("generated", "authors"):
            part = found[name]
            lines.append(
                f"  {name:<10} {part['n_copied']} of {part['n_long']} texts so long,"
                f" {part['n_copied_token']} of {part['n_token']} tokens"
            )
    if not report["plan"]["sandboxed"]:
        lines += ["", "run without a sandbox"]
    return "\n".join(lines) + "\n"
