"""What every evaluating command has in common: its options, its report and its mistakes.

Knows neither what is measured nor how. A command gives its own options and two functions: one that
makes the report, one that shows it as text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.cli.command import DONE, FAILED, run_command
from assistant.errors import AssistantError
from assistant.git import GitError
from model.folder import ModelFolderError
from model.publish import write_atomically
from training.cli import existing_folder

Report = dict[str, Any]

# What a user can cause and mend; each says how in one line.
MISTAKES = (ModelFolderError, AssistantError, GitError, OSError, ValueError)


def parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the common options: --model, --seed and --json."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument(
        "--model", type=existing_folder, help="model folder (default: the bundled one)"
    )
    made.add_argument("--seed", type=int, default=0, help="which tasks are drawn (default: 0)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the report here, too")
    return made


def count(text: str) -> int:
    """Parse an argument that must be a number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


def report_on(
    prog: str, make: Callable[[], Report], table: Callable[[Report], str], json_file: Path | None
) -> int:
    """Make a report, write it if asked to, show it; return the exit code."""

    def work() -> int:
        report = make()
        if json_file is not None:
            write_atomically(json_file, (json.dumps(report, indent=1) + "\n").encode())
        sys.stdout.write(table(report))
        return DONE

    mistakes = [(kind, FAILED) for kind in MISTAKES]
    return run_command(prog.removeprefix("foretype "), work, *mistakes)
