"""`foretype tune [REPO]`: a model of your own repository, kept only if later commits prefer it.

Trains the base on the code of most of the history, compares it with the base on the commits after
that, with the index and without, and serves it in this repository if it is better. Nothing leaves
this machine. Stopped at any moment, the same command goes on.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from assistant.cli.command import CommandParser, run_command, say_error
from assistant.git import GitError, git
from assistant.models.registry import ModelsError, Registry, repository_id, repository_root
from assistant.models.selection import find_model
from assistant.settings import load_settings
from assistant.source.languages import language_of
from model.folder import BUNDLED, bundled_for
from training.cli import (
    MISTAKES,
    count,
    existing_folder,
    keep_freed_memory,
    n_threads,
    report_file,
    write_report,
)
from training.errors import TuneError, TuneStoppedError
from training.finetune.request import MIN_TASKS, TuneOptions, TuneRequest

INTERRUPTED = 130
_MAX_SEED_DIGITS = 9


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""

    def work() -> int:
        args = _parser().parse_args(argv)
        try:
            return _run(args)
        except (TuneStoppedError, KeyboardInterrupt) as stopped:
            reason = str(stopped) or "stopped"
            say_error("tune", f"{reason}; run the same command to go on from here")
            return INTERRUPTED

    return run_command("tune", work, *MISTAKES)


def _run(args: argparse.Namespace) -> int:
    import torch

    from training.finetune.plan import make_plan, owner_only
    from training.finetune.report import format_dry_run, format_report
    from training.finetune.session import tune

    request = _request(args)
    torch.set_num_threads(n_threads())
    keep_freed_memory()
    with owner_only():
        if args.dry_run:
            sys.stdout.write(format_dry_run(make_plan(request, Registry())))
            return 0
        outcome = tune(request, is_fresh=args.fresh)
    report = outcome.result["verdict"]["report"]
    sys.stdout.write(
        format_report(report) + "\n" + _describe_end(outcome.result, is_old=outcome.is_old)
    )
    if args.json is not None:
        write_report(args.json, outcome.result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser, defaults = CommandParser(prog="foretype tune", description=__doc__), TuneOptions()
    option = parser.add_argument
    help_ = "a git repository (default: the one around this folder)"
    option(
        "repository", metavar="REPO", type=existing_folder, nargs="?", default=Path(), help=help_
    )
    help_ = (
        "the base to begin with, a folder or a listed model (default: that of others which serves"
        " here, else the bundled one for most of the code)"
    )
    option("--model", help=help_)
    help_ = "passes over the code at most (default: %(default)s)"
    option("--epochs", type=count, default=defaults.n_epochs, help=help_)
    help_ = "train adapters of this rank, not all weights (default: 16 above 100M parameters)"
    option("--lora", type=count, default=0, metavar="RANK", help=help_)
    help_ = "code that must not be forgotten (default: the standard library of this Python)"
    option("--general", type=existing_folder, metavar="FOLDER", help=help_)
    help_ = "cursors that judge (default: %(default)s)"
    option("--tasks", type=_tasks, default=defaults.n_tasks, help=help_)
    option("--seed", type=_seed, default=0, help="of every random draw (default: 0)")
    option("--json", type=report_file, metavar="FILE", help="write every figure here, too")
    help_ = "begin anew, even if a run was stopped or is done"
    option("--fresh", action="store_true", help=help_)
    help_ = "say what would be done, and how long it takes; train and write nothing"
    option("--dry-run", action="store_true", help=help_)
    return parser


def _tasks(text: str) -> int:
    if (number := count(text)) < MIN_TASKS:
        raise argparse.ArgumentTypeError(f"{text} is too few: {MIN_TASKS} are needed to judge by")
    return number


def _seed(text: str) -> int:
    if not text.isdecimal() or len(text) > _MAX_SEED_DIGITS:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 on")
    return int(text)


def _request(args: argparse.Namespace) -> TuneRequest:
    root = repository_root(args.repository)
    if root is None:
        raise TuneError(
            f"{args.repository.absolute()} is in no git repository; tuning needs its history"
        )
    options = TuneOptions(
        n_epochs=args.epochs,
        lora_rank=args.lora,
        general="" if args.general is None else str(args.general.absolute()),
        n_tasks=args.tasks,
        seed=args.seed,
        exclude=load_settings().exclude,
    )
    base = find_model(args.model) if args.model else _base_for(root)
    return TuneRequest(repository=root, base=base.absolute(), options=options)


def _base_for(repository: Path) -> Path:
    """Return the model of others that serves there, or what serves was tuned from.

    Otherwise the bundled model that knows most of a repository's files.
    """
    registry = Registry()
    try:
        if chosen := registry.book().serving(repository_id(repository)):
            for entry in registry.entries():
                hashes = (chosen.content_hash, chosen.parent)
                if entry.kind == "plain" and entry.content_hash in hashes:
                    return registry.place(entry.name)
        listing = git(repository, "ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD")
    except (GitError, ModelsError):  # the plan says what is wrong with it
        return BUNDLED
    names = listing.decode("utf-8", "replace").split("\0")
    known = Counter(bundled_for(found.name) for name in names if (found := language_of(name)))
    return known.most_common(1)[0][0] if known else BUNDLED


def _describe_end(result: dict[str, Any], *, is_old: bool) -> str:
    """Say what holds now, and how to change it."""
    model = result["model"]
    again = "This was tuned before; --fresh does it again.\n" if is_old else ""
    if model is None:
        return f"{again}What served before goes on serving.\n"
    if not result["is_used"]:
        return (
            f"{again}{model['name']} is listed, but what serves here is pinned: "
            f"foretype models use {model['name']}\n"
        )
    return (
        f"{again}{model['name']} serves in this repository now; running servers take it "
        "soon. Back: foretype models rollback\n"
    )
