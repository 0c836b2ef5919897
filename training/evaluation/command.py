"""What every evaluating command has in common: its options, its report and its mistakes.

Knows neither what is measured nor how. A command gives its own options and functions: one makes the
report, one shows it as text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.cli.command import DONE, FAILED, CommandParser, run_command
from assistant.errors import AssistantError
from assistant.git import GitError
from model.folder import ModelFolderError
from model.publish import write_atomically
from training.cli import existing_model

Report = dict[str, Any]
Arguments = argparse.Namespace

# What a user can cause and mend; each says how in one line.
MISTAKES = tuple(
    (kind, FAILED) for kind in (ModelFolderError, AssistantError, GitError, OSError, ValueError)
)


def parser(name: str, description: str | None) -> CommandParser:
    """Return a parser of the common options: --model, --seed and --json."""
    made = CommandParser(prog=f"foretype {name}", description=description)
    option = made.add_argument
    help_ = "folder, GGUF file or listed model (default: the bundled one)"
    option("--model", type=existing_model, help=help_)
    option("--seed", type=int, default=0, help="which tasks are drawn (default: 0)")
    option("--json", type=Path, metavar="FILE", help="write the report here, too")
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
        if args.json is not None:
            write_atomically(args.json, (json.dumps(report, indent=1) + "\n").encode())
        sys.stdout.write(table(report))
        return finish(report)

    return run_command(name, work, *MISTAKES)
