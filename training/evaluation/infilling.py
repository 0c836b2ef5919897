"""`foretype train score-infilling`: fill the holes of HumanEval-Infilling and run the tests.

Bring the benchmark's own files. Holes are filled as the assistant fills them, greedily. Program and
test run in one process of limited memory, CPU time and files; under bubblewrap, where there is one,
without a network and with no file but the standard library.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from assistant.generate.backend import LocalBackend, open_backend
from assistant.request import CompletionRequest
from model.folder import BUNDLED
from model.gguf_model import load_model
from training.data.decontaminate import read_problems
from training.data.progress import say
from training.evaluation import command
from training.evaluation.exact_line import make_job, write_lines
from training.evaluation.intervals import Interval, macro_mean

NAME = "train score-infilling"
KINDS = ("SingleLineInfilling", "MultiLineInfilling", "RandomSpanInfilling")  # begin a task's name
MAX_NEW_TOKENS = 192
WALL_S = 20.0  # so long that on a busy machine, too, an endless loop ends by its CPU time
LIMITS = {"AS": 512 << 20, "CPU": 5, "FSIZE": 1 << 20, "NOFILE": 32, "NPROC": 1, "CORE": 0}
Hole = dict[str, str]
_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
_PYTHON = (str(Path(sys.executable).resolve()), "-I", "-Wignore", "-c")
_RUN = """
import contextlib, json, os, sys
limits, program, test, entry_point, passed = json.load(sys.stdin)
for name, limit in limits.items():
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has each
        import resource
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
reason, scope = "died", {"__name__": "candidate"}
try:
    exec(program, scope)
    exec(test, scope)
    scope["check"](scope[entry_point])
    reason = passed
except BaseException as error:
    reason = type(error).__name__
os.write(2, f"\\n{reason}".encode())
os._exit(0)
"""


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = command.parser(NAME, __doc__)
    option = parser.add_argument
    option("files", type=Path, nargs="+", help="the benchmark's .jsonl or .jsonl.gz")
    option("--limit", type=command.count, help="tasks of each file (default: all)")
    return command.report_on(NAME, parser, argv, evaluate, table)


def evaluate(args: argparse.Namespace) -> command.Report:
    """Return the report: for each file pass@1 and exact matches, and every answer."""
    files = [load_holes(path, args.limit, args.seed) for path in args.files]
    if not bubblewrap():
        say(f"foretype {NAME}: no bubblewrap here, code runs with your rights")
    folder = load_model(args.model or BUNDLED)
    backend = open_backend(str(folder.path), threads=1)
    answers = [answer_holes(holes, backend) for holes in files]
    return {
        "model": folder.info.name,
        "content_hash": folder.content_hash,
        "plan": {"limit": args.limit, "seed": args.seed, "sandboxed": bool(bubblewrap())},
        "benchmarks": [_summarise(found) for found in answers],
        "answers": [answer for found in answers for answer in found],
    }


def load_holes(path: Path, limit: int | None = None, seed: int = 0) -> list[Hole]:
    """Read the benchmark's tasks and draw `limit` of them, in their order."""
    try:
        holes = [{name: task[name] + "" for name in _FIELDS} for task in read_problems(path)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"cannot read benchmark {path}: {error!r}") from error
    if not holes or not all(hole["task_id"].startswith(KINDS) for hole in holes):
        raise ValueError(f"{path} holds no tasks, or others than {', '.join(KINDS)}")
    draws = np.random.Generator(np.random.Philox(key=[seed, 0]))
    chosen = draws.choice(len(holes), min(limit or len(holes), len(holes)), replace=False)
    return [holes[index] for index in sorted(chosen)]


def fill(backend: LocalBackend, hole: Hole) -> str:
    """Return what the network writes into the hole, greedily, up to the hole's number of lines."""
    code, solution = hole["prompt"] + hole["suffix"], hole["canonical_solution"]
    request = CompletionRequest(path="solution.py", text=code, offset=len(hole["prompt"]))
    n_lines = solution.count("\n") + (not solution.endswith("\n"))
    text = write_lines(backend, make_job(backend, request, MAX_NEW_TOKENS), n_lines)
    # The suffix begins a line of its own.
    return text + "\n" if solution.endswith("\n") and text else text


def answer_holes(holes: Sequence[Hole], backend: LocalBackend) -> list[command.Report]:
    """Fill the holes and run their tests."""
    say(f"{holes[0]['task_id'].partition('/')[0]}: {len(holes)} tasks")
    answers = []
    for hole in holes:
        text = fill(backend, hole)
        program = hole["prompt"] + text + hole["suffix"]
        reason = run_test(program, hole["test"], hole["entry_point"])
        exact = text.rstrip() == hole["canonical_solution"].rstrip()
        answer = {"task_id": hole["task_id"], "text": text, "exact": exact, "reason": reason}
        answers.append(answer)
    return answers


def run_test(program: str, test: str, entry_point: str, *, wall_s: float = WALL_S) -> str:
    """Return "passed" or why not; `test` defines `check(candidate)`, which raises at a fault."""
    passed = secrets.token_hex()  # what a program prints by chance is no pass
    job = json.dumps([LIMITS, program, test, entry_point, passed]).encode()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as verdict:
        try:
            subprocess.run(  # noqa: S603  a fixed command
                [*bubblewrap(), *_PYTHON, _RUN], input=job, stdout=subprocess.DEVNULL,
                stderr=verdict, cwd=folder, env={}, timeout=wall_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "timeout"
        verdict.seek(0)
        reason = verdict.read().decode("utf-8", "replace").rpartition("\n")[2]
    known = {passed: "passed", "passed": "died", "": "died", "AssertionError": "wrong answer"}
    return known.get(reason, reason)


@functools.cache
def bubblewrap() -> tuple[str, ...]:
    """Return the command that contains a program; nothing where bubblewrap is missing or fails."""
    paths = (sys.base_prefix, "/usr", "/lib", "/lib64")
    command = (
        shutil.which("bwrap") or "", "--unshare-all", "--die-with-parent", "--clearenv",
        *(word for path in paths for word in ("--ro-bind-try", path, path)),
        "--dev", "/dev", "--tmpfs", "/home", "--chdir", "/home",
    )  # fmt: skip
    probe = [*command, *_PYTHON, ""]
    works = command[0] and not subprocess.run(probe, capture_output=True, check=False).returncode  # noqa: S603
    return command if works else ()


def _summarise(answers: Sequence[command.Report]) -> command.Report:
    problems = [answer["task_id"].rpartition("/")[0] for answer in answers]  # pass together or fail
    reasons = [answer["reason"] for answer in answers]
    outcomes = {
        "pass_at_1": [reason == "passed" for reason in reasons],
        "exact": [answer["exact"] for answer in answers],
    }
    means = {
        name: dataclasses.asdict(macro_mean(zip(repeat(""), problems, values, strict=False)))
        for name, values in outcomes.items()
    }
    kind = problems[0].partition("/")[0]
    return {"kind": kind, "tasks": len(answers), "reasons": dict(Counter(reasons)), **means}


def table(report: command.Report) -> str:
    """Return the report as text, without the answers."""
    row = "{:<26}{:>7}  {:<22}{:<22}".format
    lines = [f"{report['model']} on HumanEval-Infilling", ""]
    lines.append(row("hole", "tasks", "pass@1 [95%]", "exact [95%]"))
    for found in report["benchmarks"]:
        means = (str(Interval(**found[name])) for name in ("pass_at_1", "exact"))
        lines.append(row(found["kind"], found["tasks"], *means))
    return "\n".join(lines) + "\n"
