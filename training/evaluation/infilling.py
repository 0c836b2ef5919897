"""`foretype train score-infilling`: fill the holes of infilling benchmarks.

Bring the benchmark's own files. Holes are filled as the assistant fills them, greedily. Of
HumanEval-Infilling the tests are run: program and test in one process of limited memory, CPU time
and files; under bubblewrap, where there is one, without a network and with no file but the standard
library. Of Santa-FIM, lines of Python, JavaScript and Java, the text alone is compared.
"""

import argparse
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, repeat
from pathlib import Path

import numpy as np

from assistant.generate.backend import LocalBackend, open_backend
from assistant.request import CompletionRequest
from assistant.source.languages import language_name
from model.folder import bundled_for
from model.foreign import load_model
from training import cli
from training.data.decontaminate import read_problems
from training.data.progress import say
from training.evaluation.answers import make_job, write_lines
from training.evaluation.intervals import format_interval, macro_mean

NAME = "train score-infilling"
KINDS = ("SingleLineInfilling", "MultiLineInfilling", "RandomSpanInfilling")  # begin a task's name
MAX_NEW_TOKENS = 192
WALL_S = 20.0  # so long that on a busy machine, too, an endless loop ends by its CPU time
LIMITS = {"AS": 512 << 20, "CPU": 5, "FSIZE": 1 << 20, "NOFILE": 32, "NPROC": 1, "CORE": 0}
Hole = dict[str, str]
_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
_LINE_FIELDS = ("name", "language", "prompt", "suffix", "canonical_solution")
_LINES = "Santa-FIM"
_PYTHON = (str(Path(sys.executable).resolve()), "-I", "-Wignore", "-c")
# Without this variable no Python starts on Windows.
_ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
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
    parser = cli.parser(NAME, __doc__)
    option = parser.add_argument
    option("files", type=Path, nargs="+", help="the benchmark's .jsonl or .jsonl.gz")
    option("--limit", type=cli.count, help="tasks of each file (default: all)")
    return cli.report_on(NAME, parser, argv, evaluate, table)


def evaluate(args: argparse.Namespace) -> cli.Report:
    """Return the report: for each file pass@1 and exact matches, and every answer."""
    files = [load_holes(path, args.limit, args.seed) for path in args.files]
    groups = [list(its) for holes in files for _, its in groupby(holes, _kind)]
    if any(holes[0]["test"] for holes in groups) and not bubblewrap():
        say(f"foretype {NAME}: no bubblewrap here, code runs with your rights")
    places = [args.model or bundled_for(language_name(holes[0]["path"])) for holes in groups]
    folders = {place: load_model(place) for place in places}
    answers = [
        answer_holes(holes, open_backend(str(folders[place].path), threads=1))
        for holes, place in zip(groups, places, strict=True)
    ]
    return {
        "model": ", ".join(folder.info.name for folder in folders.values()),
        "content_hash": ", ".join(folder.content_hash for folder in folders.values()),
        "plan": {"limit": args.limit, "seed": args.seed, "sandboxed": bool(bubblewrap())},
        "benchmarks": [_summarise(found) for found in answers],
        "answers": [answer for found in answers for answer in found],
    }


def load_holes(path: Path, limit: int | None = None, seed: int = 0) -> list[Hole]:
    """Read the benchmark's tasks and draw `limit` of them, in their order."""
    try:
        holes = [_read_hole(task) for task in read_problems(path)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"cannot read benchmark {path}: {error!r}") from error
    if not holes or not all(hole["task_id"].startswith((*KINDS, _LINES)) for hole in holes):
        raise ValueError(f"{path} holds no tasks, or others than {', '.join((*KINDS, _LINES))}")
    draws = np.random.Generator(np.random.Philox(key=[seed, 0]))
    chosen = draws.choice(len(holes), min(limit or len(holes), len(holes)), replace=False)
    return sorted((holes[index] for index in sorted(chosen)), key=_kind)


def _read_hole(task: Hole) -> Hole:
    if "language" not in task:
        return {name: task[name] + "" for name in _FIELDS} | {"path": "solution.py"}
    name, language, prompt, suffix, solution = (task[name] + "" for name in _LINE_FIELDS)
    problem, _, line = name.rpartition("-")
    return {
        "task_id": f"{_LINES}, {language}/{problem}/{line}",
        "path": f"solution.{language}",
        "prompt": prompt + "\n",  # a hole is a line without its ends
        "suffix": "\n" + suffix,
        "canonical_solution": solution,
        "test": "",
    }


def _kind(hole: Hole) -> str:
    return hole["task_id"].partition("/")[0]


def fill(backend: LocalBackend, hole: Hole) -> str:
    """Return what the network writes into the hole, greedily, up to the hole's number of lines."""
    code, solution = hole["prompt"] + hole["suffix"], hole["canonical_solution"]
    request = CompletionRequest(path=hole["path"], text=code, offset=len(hole["prompt"]))
    n_lines = solution.count("\n") + (not solution.endswith("\n"))
    text = write_lines(backend, make_job(backend, request, MAX_NEW_TOKENS), n_lines)
    # The suffix begins a line of its own.
    return text + "\n" if solution.endswith("\n") and text else text


def answer_holes(holes: Sequence[Hole], backend: LocalBackend) -> list[cli.Report]:
    """Fill holes of one kind and run their tests, if they have any."""
    say(f"{_kind(holes[0])}: {len(holes)} tasks")
    answers = []
    for hole in holes:
        text = fill(backend, hole)
        program = hole["prompt"] + text + hole["suffix"]
        reason = run_test(program, hole["test"], hole["entry_point"]) if hole["test"] else ""
        exact = text.strip() == hole["canonical_solution"].strip()
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
                stderr=verdict, cwd=folder, env=_ENVIRONMENT, timeout=wall_s, check=False,
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


def _summarise(answers: Sequence[cli.Report]) -> cli.Report:
    problems = [answer["task_id"].rpartition("/")[0] for answer in answers]  # pass together or fail
    reasons = [answer["reason"] for answer in answers]
    outcomes = {"exact": [answer["exact"] for answer in answers]}
    if any(reasons):
        outcomes["pass_at_1"] = [reason == "passed" for reason in reasons]
    means = {
        name: macro_mean(zip(repeat(""), problems, values, strict=False))
        for name, values in outcomes.items()
    }
    reasons_told = {name: n for name, n in Counter(reasons).items() if name}
    return {"kind": _kind(answers[0]), "tasks": len(answers), "reasons": reasons_told, **means}


def table(report: cli.Report) -> str:
    """Return the report as text, without the answers."""
    row = "{:<26}{:>7}  {:<22}{:<22}".format
    lines = [f"{report['model']}, holes filled", ""]
    lines.append(row("hole", "tasks", "pass@1 [95%]", "exact [95%]"))
    for found in report["benchmarks"]:
        both = (found.get("pass_at_1"), found["exact"])
        means = (format_interval(mean) if mean else "-" for mean in both)
        lines.append(row(found["kind"], found["tasks"], *means))
    return "\n".join(lines) + "\n"
