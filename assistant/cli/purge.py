"""`foretype purge`: list what foretype has stored on this machine, ask, remove it.

Exit codes: 0 removed, or nothing there; 1 not agreed to, or something could not be removed; 2 bad
usage. Settings and the configuration of editors stay; models tuned here too, without --models.
"""

import argparse
from collections.abc import Sequence

from assistant import warm
from assistant.cli.command import DONE, FAILED, CommandParser, agrees, run_command, say_error
from assistant.errors import SettingsError
from assistant.purge.places import MODELS, Item, list_stored, remove_empty
from assistant.settings import load_settings
from model.publish import delete


def main(argv: Sequence[str]) -> int:
    """Run `foretype purge` with its arguments; return the exit code."""
    return run_command("purge", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    log_file = ""
    try:
        log_file = load_settings().log_file
    except SettingsError as error:
        say_error("purge", f"the log file is not known: {error}")
    items, left = list_stored(log_file, with_models=options.models)
    _print_listing(items, left, with_models=options.models)
    if not items:
        return DONE
    if options.dry_run:
        print("Nothing was removed (--dry-run).")
        return DONE
    question = "Remove all of it?"
    if options.models and any(item.path.name == MODELS for item in items):
        question = "Remove all of it, your own models too? Only tuning again brings those back."
    if not (options.yes or agrees(question)):
        print("Nothing was removed.")
        return FAILED
    warm.leave()
    failed = [problem for item in items if (problem := _delete(item))]
    remove_empty()
    for problem in failed:
        say_error("purge", problem)
    if not failed:
        print("Removed. An editor that is open makes anew what it needs.")
    return FAILED if failed else DONE


def _print_listing(items: list[Item], left: list[str], *, with_models: bool) -> None:
    for item in items:
        print(f"{item.n_bytes / 1e6:10.1f} MB  {item.path}  ({item.what})")
    for sentence in left:
        print(f"Left out: {sentence}.")
    if items:
        stays = "Settings stay." if with_models else "Settings and models stay."
        total = sum(item.n_bytes for item in items)
        print(f"{total / 1e6:10.1f} MB  in all. {stays}")
    else:
        print("Nothing of foretype's is stored here.")


def _delete(item: Item) -> str:
    """Remove; return what went wrong, "" if nothing did."""
    try:
        delete(item.path)
    except OSError as error:
        hint = "; close the editors that use it" if hasattr(error, "winerror") else ""
        return f"cannot remove {error.filename or item.path}: {error.strerror or error}{hint}"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype purge",
        description="Remove every cache, index, log and statistic that foretype has made.",
        epilog="Settings and the configuration of editors stay.",
    )
    add = parser.add_argument
    add("--dry-run", action="store_true", help="list only")
    text = "also the models tuned on your repositories, which took hours to make"
    add("--models", action="store_true", help=text)
    add("--yes", action="store_true", help="do not ask")
    return parser
