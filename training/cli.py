"""`foretype data` and `foretype train`: the commands that make models.

Parses arguments and says what went wrong in one line; the work is done by the modules named here,
each imported only when its command is asked for. What evaluating commands have in common, too:
their options, their report and their mistakes.
"""

import argparse
import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.cli.command import DONE, FAILED, CommandParser, agrees, run_command
from assistant.errors import AssistantError
from assistant.git import GitError
from model.extras import how_to_add
from model.runtime import RuntimeLoadError

# command -> step -> (module with `main(argv) -> int`, one line of help)
STEPS: dict[str, dict[str, tuple[str, str]]] = {
    "data": {
        "prepare": ("training.data.prepare", "collect, filter and deduplicate a corpus"),
        "funnel": ("training.data.corpus", "show again what a corpus was made of"),
        "tokenizer": ("training.data.train_tokenizer", "train a tokenizer on a corpus"),
        "pack": ("training.data.packing", "pack a corpus into rows of token ids"),
    },
    "train": {
        "run": ("training.pretrain.command", "train a network on packed rows, or go on with it"),
        "export": ("training.pretrain.command", "turn a run into a model folder"),
        "fit": ("training.calibration.command", "fit what ranks and gates a model's suggestions"),
        "fit-next-edit": ("training.calibration.next_edit", "fit how sure a next edit must be"),
        "kit": ("training.pretrain.kit", "train on a machine that is lent for minutes, offline"),
        "plan": ("training.pretrain.plan", "say what a run will take, before it is started"),
        "report": ("training.pretrain.report", "draw what a run did: curves, samples, time, cost"),
        "score": ("training.evaluation.score", "judge a model folder on held-out repositories"),
        "score-infilling": (
            "training.evaluation.infilling",
            "judge it by running what it writes into HumanEval-Infilling",
        ),
    },
}
_RECIPES = Path(__file__).parent / "pretrain" / "recipes"
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_TAKES_STEP = frozenset({"training.pretrain.command"})  # one parser for both steps
Report = dict[str, Any]
Arguments = argparse.Namespace
# What a user can cause and mend; each says how in one line.
MISTAKES = tuple(
    (kind, FAILED) for kind in (RuntimeLoadError, AssistantError, GitError, ValueError)
)


def offer_to_install(command: str, missing: str) -> bool:
    """Say what a command needs; at a terminal, ask and install it. Return whether it is there."""
    advice = f"install it with: {how_to_add('train')}"
    sys.stderr.write(f"foretype: `{command}` needs {missing}; {advice}\n")
    requirements = _requirements()
    can_ask = requirements and importlib.util.find_spec("pip") and sys.stdin.isatty()
    if not can_ask or not agrees(f"Install {', '.join(requirements)} now (PyTorch is large)?"):
        return False
    return not subprocess.call([sys.executable, "-m", "pip", "install", *requirements])  # noqa: S603


def _requirements() -> list[str]:
    """Return the packages of the extra; none where foretype itself is not installed."""
    try:
        declared = importlib.metadata.requires("foretype") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    parts = (requirement.partition(";") for requirement in declared)
    return [name.strip() for name, _, marker in parts if "train" in marker]


def main(argv: list[str]) -> int:
    """Run `data STEP ...` or `train STEP ...`; return the exit code."""
    command, steps = argv[0], STEPS[argv[0]]
    step = argv[1] if len(argv) > 1 else ""
    if step in ("-h", "--help"):
        sys.stdout.write(_help(command))
        return 0
    is_recipe = step.endswith(".toml") or (_RECIPES / f"{step}.toml").is_file()
    if command == "train" and step not in steps and is_recipe:
        from training.pretrain.pipeline import main as make

        return make(argv[1:])
    if step not in steps:
        problem = f"unknown step {step!r}" if step else "a step is needed"
        sys.stderr.write(f"foretype {command}: {problem}; one of {', '.join(steps)} (see --help)\n")
        return 2
    module = steps[step][0]
    entry: Callable[[list[str]], int] = importlib.import_module(module).main
    return entry(argv[1:] if module in _TAKES_STEP else argv[2:])


def _help(command: str) -> str:
    lines = [f"usage: foretype {command} STEP ...", ""]
    if command == "train":
        lines[0] += " | foretype train RECIPE [SOURCE ...]"
        lines.append("  RECIPE           all of it, from sources to a model folder")
    lines += [f"  {step:<16} {text}" for step, (_, text) in STEPS[command].items()]
    return "\n".join([*lines, "", "  STEP --help    say more about one step", ""])


def report_mistakes(name: str, work: Callable[[], object]) -> int:
    """Do the work of a command and return 0, or 1 after one line about what a user can mend."""

    def done() -> int:
        work()
        return DONE

    return run_command(name, done, *MISTAKES)


def existing_folder(text: str) -> Path:
    """Parse an argument that must be a folder."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


def report_file(text: str) -> Path:
    """Parse an argument that must be a file to write: found out at the end, a run is lost."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written; is there a folder for it?")
    return path


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON, into a pipe or device too."""
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def existing_model(text: str) -> Path:
    """Parse an argument that must be a model: folder, GGUF file, or name of a listed one."""
    from assistant.models.selection import find_model

    try:
        return find_model(text)
    except AssistantError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def n_threads() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> bool:
    """Let a glibc process keep what it frees; say whether that was possible.

    A step frees and takes the same large tensors again and again. Returned to the kernel and taken
    back, each page costs a fault: up to a twentieth of a step on a CPU (docs/experiments.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    settings = {_M_MMAP_THRESHOLD: 1 << 25, _M_TRIM_THRESHOLD: (1 << 31) - 1, _M_TOP_PAD: 1 << 28}
    return all(mallopt(name, value) == 1 for name, value in settings.items())


def parser(name: str, description: str | None) -> CommandParser:
    """Return a parser of the common options: --model, --seed and --json."""
    made = CommandParser(prog=f"foretype {name}", description=description)
    option = made.add_argument
    help_ = "folder, GGUF file or listed model (default: the bundled one)"
    option("--model", type=existing_model, help=help_)
    option("--seed", type=int, default=0, help="which tasks are drawn (default: 0)")
    option("--json", type=report_file, metavar="FILE", help="write the report here, too")
    return made


def count(text: str) -> int:
    """Parse an argument that must be a number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


def report_on(
    name: str,
    options: argparse.ArgumentParser,
    argv: list[str],
    make: Callable[[Arguments], Report],
    table: Callable[[Report], str],
    finish: Callable[[Report], int] = lambda report: DONE,
) -> int:
    """Make a report, write it if asked to, show it, finish; return the exit code."""

    def work() -> int:
        args = options.parse_args(argv)
        report = make(args)
        sys.stdout.write(table(report))
        if args.json is not None:
            write_report(args.json, report)
        return finish(report)

    return run_command(name, work, *MISTAKES)
