"""`foretype train score-infilling`: fill the holes of HumanEval-Infilling and run the tests.

Bring the benchmark's own files. Holes are filled as the assistant fills them: its prompt, token
healing and greedy decoding. The same model and seed give the same report.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from assistant.generate.backend import LocalBackend, open_backend
from assistant.request import CompletionRequest
from model.folder import BUNDLED, load_folder
from training.cli import existing_folder, n_threads
from training.data.corpus import Split
from training.evaluation import command
from training.evaluation.exact_line import make_job, write_lines
from training.evaluation.intervals import Interval, macro_mean
from training.evaluation.sandbox import bubblewrap, run_test
from training.evaluation.verbatim import RUN_TOKENS, format_copies, search_corpus

NAME = "train score-infilling"
KINDS = ("SingleLineInfilling", "MultiLineInfilling", "RandomSpanInfilling")  # begin a task's name
MAX_NEW_TOKENS = 192
Hole = dict[str, str]
_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    parser = command.parser(NAME, __doc__)
    option = parser.add_argument
    option("files", type=Path, nargs="+", help="the benchmark's .jsonl or .jsonl.gz")
    option("--limit", type=command.count, help="tasks of each file (default: all)")
    option("--corpus", type=existing_folder, help="look in it for verbatim copies")
    what = f"words and marks in a row that make a copy (default: {RUN_TOKENS})"
    option("--run-tokens", type=command.count, default=RUN_TOKENS, help=what)
    return command.report_on(NAME, parser, argv, evaluate, table)


def evaluate(args: argparse.Namespace) -> command.Report:
    """Return the report: for each file pass@1 and exact matches, and every answer."""
    files = [load_holes(path, args.limit, args.seed) for path in args.files]
    split = Split(args.corpus) if args.corpus else None  # its faults are told before the long work
    if not bubblewrap():
        sys.stderr.write(f"foretype {NAME}: no bubblewrap here, code runs with your rights\n")
    folder = load_folder(args.model or BUNDLED)
    backend = open_backend(str(folder.path), threads=1)
    answers = [answer_holes(holes, backend) for holes in files]
    report = {
        "model": folder.info.name,
        "content_hash": folder.content_hash,
        "plan": {"limit": args.limit, "seed": args.seed, "sandboxed": bool(bubblewrap())},
        "benchmarks": [_summarise(found) for found in answers],
        "answers": [answer for found in answers for answer in found],
    }
    if split is not None:
        written = [answer["text"] for found in answers for answer in found]
        authors = [hole["canonical_solution"] for holes in files for hole in holes]
        report["verbatim"] = search_corpus(written, authors, split, args.run_tokens)
    return report


def load_holes(path: Path, limit: int | None = None, seed: int = 0) -> list[Hole]:
    """Read one JSON object a line, gzipped or not, and draw `limit` of them, in their order."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
        tables = [json.loads(line) for line in text.split("\n") if line.strip()]
        holes = [{name: table[name] + "" for name in _FIELDS} for table in tables]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"cannot read {path} as a benchmark: {error!r}") from error
    if not holes or not all(hole["task_id"].startswith(KINDS) for hole in holes):
        raise ValueError(f"{path} holds no tasks, or others than {', '.join(KINDS)}")
    draws = np.random.Generator(np.random.Philox(key=[seed, 0]))
    chosen = draws.choice(len(holes), min(limit or len(holes), len(holes)), replace=False)
    return [holes[index] for index in sorted(chosen)]


def fill(backend: LocalBackend, hole: Hole) -> str:
    """Return what the network writes into the hole, greedily, up to the hole's number of lines."""
    code, solution = hole["prompt"] + hole["suffix"], hole["canonical_solution"]
    request = CompletionRequest(
        path="solution.py", text=code, offset=len(hole["prompt"]), language="python"
    )
    n_lines = solution.count("\n") + (not solution.endswith("\n"))
    text = write_lines(backend, make_job(backend, request, MAX_NEW_TOKENS), n_lines)
    # The suffix begins a line of its own.
    return text + "\n" if solution.endswith("\n") and text else text


def answer_holes(holes: Sequence[Hole], backend: LocalBackend) -> list[command.Report]:
    """Fill the holes and run their tests."""

    def judge(hole: Hole, text: str) -> command.Report:
        filled, written = (
            hole["prompt"] + its + hole["suffix"] for its in (text, hole["canonical_solution"])
        )
        # A test may call more of the author's program than the function that it is given.
        reason = run_test(filled, f"{written}\n{hole['test']}", hole["entry_point"])
        exact = text.rstrip() == hole["canonical_solution"].rstrip()
        return {"task_id": hole["task_id"], "text": text, "exact": exact, "reason": reason}

    sys.stderr.write(f"{holes[0]['task_id'].partition('/')[0]}: {len(holes)} tasks\n")
    with ThreadPoolExecutor(max_workers=n_threads()) as pool:  # tests run while the network writes
        judged = [pool.submit(judge, hole, fill(backend, hole)) for hole in holes]
        return [each.result() for each in judged]


def _summarise(answers: Sequence[command.Report]) -> command.Report:
    ids = [answer["task_id"].split("/") for answer in answers]
    outcomes = {
        "pass_at_1": [answer["reason"] == "passed" for answer in answers],
        "exact": [answer["exact"] for answer in answers],
    }
    reasons = Counter(answer["reason"] for answer in answers)
    found = {"kind": ids[0][0], "tasks": len(answers), "reasons": dict(reasons.most_common())}
    for name, values in outcomes.items():  # the tasks of a problem pass and fail together
        rows = (("", "/".join(parts[1:3]), value) for parts, value in zip(ids, values, strict=True))
        found[name] = dataclasses.asdict(macro_mean(rows))
    return found


def table(report: command.Report) -> str:
    """Return the report as text, without the answers."""
    row = "{:<26}{:>7}  {:<22}{:<22}".format
    lines = [f"{report['model']} on HumanEval-Infilling", ""]
    lines.append(row("hole", "tasks", "pass@1 [95%]", "exact [95%]"))
    for found in report["benchmarks"]:
        means = (str(Interval(**found[name])) for name in ("pass_at_1", "exact"))
        lines.append(row(found["kind"], found["tasks"], *means))
    if "verbatim" in report:
        lines += ["", *format_copies(report["verbatim"])]
    return "\n".join(lines) + "\n"
