"""`foretype purge`: list what foretype has stored on this machine, ask, remove it.

Nothing behind a link, nothing else's: by name in the folders that the system gives to programs of
our name; in a folder that the user has named, which may hold anything, by our mark. Settings, model
folders and the configuration of editors are the user's own and stay; models tuned here too, without
--models.

Exit codes: 0 removed, or nothing there; 1 not agreed to, or something could not be removed; 2 bad
usage.
"""

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from assistant import warm
from assistant.cli.command import DONE, FAILED, CommandParser, agrees, run_command, say_error
from assistant.doctor.storage import size_of
from assistant.errors import SettingsError
from assistant.logs import FILE_COPIES, LINE_START
from assistant.settings import load_settings
from assistant.warm import runtime_folder
from model.paths import NAME, cache_folder, data_folder, is_ours, state_folder, telemetry_folders
from model.publish import delete

MODELS = "models"  # tuned weights took hours to make: only when asked for by name
_KNOWN = {  # names before the first dot
    "graphs": "models made ready to run",
    "matplotlib": "list of fonts, for curves of training runs",
    "index": "indexes of your code",
    "memory": "indexes of your code",  # as this folder was called until 0.2
    "egress": "record of what was sent",
    "stats": "statistics",
    "tune": "runs of `foretype tune`: one that was stopped cannot go on",
    MODELS: "models tuned on your repositories: to have them back takes as long as it took",
}

_KEPT = "models tuned on your repositories (foretype models); --models removes them too"


class Item(NamedTuple):
    """One file or folder of ours."""

    path: Path
    what: str
    n_bytes: int


def list_stored(log_file: str, *, with_models: bool = False) -> tuple[list[Item], list[str]]:
    """Return all that is ours, and a sentence on each thing left out on purpose.

    Models tuned here are left out unless they are asked for.
    """
    items: list[tuple[Path, str]] = []
    left: list[str] = []
    for folder in _folders():
        if folder.is_symlink():
            left.append(f"{folder} is a link to {folder.readlink()}, which is not followed")
        elif folder.is_dir():
            found = _list_folder(folder)
            items += [item for item in found if with_models or not _is_models(item[0])]
            left += [_KEPT for path, _ in found if _is_models(path) and not with_models]
    telemetry = filter(Path.is_dir, telemetry_folders())
    items += [(path, "onnxruntime's telemetry") for path in telemetry]
    items += [(path, "log") for path in _find_logs(log_file)]
    runtime = Path(runtime_folder())
    if runtime.is_dir() and not runtime.is_symlink():
        items.append((runtime, "socket of the process that answers `complete --warm`; it ends"))
    return [Item(path, what, size_of(path)) for path, what in items], left


def remove_empty() -> None:
    """Remove our own folders if nothing is left in them."""
    for folder in _folders():
        if folder.name == NAME and not folder.is_symlink():
            with contextlib.suppress(OSError):  # there is none, or it holds something
                folder.rmdir()


def _folders() -> list[Path]:
    """Return the folders for derived data: cache, state, data; they need not exist."""
    return list(dict.fromkeys((cache_folder(), state_folder(), data_folder())))


def _list_folder(folder: Path) -> list[tuple[Path, str]]:
    is_named_by_user = folder == cache_folder() and bool(os.environ.get("FORETYPE_CACHE"))
    return [
        (path, what)
        for path in sorted(folder.iterdir())
        if (what := _KNOWN.get(path.name.partition(".")[0]))
        and (is_ours(path) if is_named_by_user else folder.name == NAME)
    ]


def _is_models(path: Path) -> bool:
    return path.name == MODELS and path.parent.name == NAME


def _find_logs(log_file: str) -> Iterator[Path]:
    """Yield the log and its copies, those that begin as our logs do."""
    if not log_file:
        return
    path = Path(log_file).expanduser().absolute()
    for name in [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, FILE_COPIES + 1))]:
        if name.is_file() and not name.is_symlink():
            with contextlib.suppress(OSError), name.open("rb") as file:
                head = file.read(256)
                if not head or LINE_START.match(head):
                    yield name


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
