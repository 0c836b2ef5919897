"""`foretype index status|build|clear [REPO]`: look at, bring up to date or delete an index.

Exit codes: 0 done, 1 there is no index, another process is writing it or git does not say what it
ignores, 2 bad usage, 3 the disk does not take it. Errors are one line on standard error.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.cli.command import (
    BAD_USAGE,
    DONE,
    FAILED,
    CommandParser,
    UsageError,
    as_word,
    run_command,
)
from assistant.errors import AssistantError
from assistant.git import GitError
from assistant.index.builder import (
    INDEX_BYTES_PER_TEXT_BYTE,
    BuildLimits,
    BuildReport,
    refresh,
    refresh_dependencies,
)
from assistant.index.files import is_too_wide
from assistant.index.folder_index import find_indexed_root
from assistant.index.reader import open_view
from assistant.index.writer import IndexBusyError, index_folder, indexes_folder, lock_index, prune
from assistant.logs import configure
from assistant.settings import load_settings
from model.files import from_root
from model.paths import CACHE_REMEDY, is_ours

NO_ROOM = 3
_NICENESS = 10
_SAY_EVERY_S = 0.2


def main(argv: Sequence[str]) -> int:
    """Run `foretype index` with its arguments; return the exit code."""
    mistakes = (
        (AssistantError, BAD_USAGE),
        (OSError, NO_ROOM),
        (IndexBusyError, FAILED),
        (GitError, FAILED),
    )
    return run_command("index", lambda: _run(_parser().parse_intermixed_args(argv)), *mistakes)


def _run(args: argparse.Namespace) -> int:
    wanted = args.dependencies or None
    asked = {"index_mb": args.mb, "exclude": args.exclude, "index_dependencies": wanted}
    settings = load_settings({name: value for name, value in asked.items() if value is not None})
    root = from_root(Path(args.repo)) if args.repo else _usual_root()
    if args.all and args.action != "clear":
        raise UsageError(f"--all goes with clear; {args.action} takes one folder")
    if args.action != "clear" and not root.is_dir():
        raise UsageError(f"{args.repo} is not a folder")
    if args.action == "status":
        return _status(root)
    if args.action == "clear":
        return _clear(root, everything=args.all)
    progress = _Progress(as_json=args.watched)
    n_bytes = settings.index_mb << 20  # on disk
    limits = BuildLimits(
        exclude=settings.exclude,
        max_text_bytes=int(n_bytes / INDEX_BYTES_PER_TEXT_BYTE),
        on_progress=progress,
    )
    with_dependencies = settings.index_dependencies
    if args.watched:
        return _watched_build(root, limits, with_dependencies=with_dependencies)
    if is_too_wide(root) and not (root / ".git").exists():
        raise UsageError(f"{root} is no project: name a folder inside it")
    started = time.monotonic()
    try:
        with configure():
            report = _refresh(root, limits, with_dependencies=with_dependencies)
    except OSError as error:
        why = f"{index_folder(root)}: {error.strerror or error}; {CACHE_REMEDY}"
        raise OSError(f"cannot write the index in {why}") from error
    finally:
        progress.end()
    print(
        f"{report.n_added} files taken up, {report.n_dropped} dropped in"
        f" {time.monotonic() - started:.1f} s; left out: {report.reasons}"
    )
    return _status(root)


def _usual_root() -> Path:
    """Return what completions here are taken from, or would be; a home kept in git is too much."""
    root = find_indexed_root(Path.cwd())
    return Path.cwd() if root is None or is_too_wide(root) else root


def _refresh(root: Path, limits: BuildLimits, *, with_dependencies: bool) -> BuildReport:
    folder = index_folder(root)
    report = refresh(root, folder, limits)
    refresh_dependencies(root, folder, limits, is_wanted=with_dependencies)
    prune()
    return report


def _watched_build(root: Path, limits: BuildLimits, *, with_dependencies: bool) -> int:
    """Build for a program that reads JSON lines, and end when it does."""
    threading.Thread(target=_end_with_reader, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    try:
        _refresh(root, limits, with_dependencies=with_dependencies)
    except IndexBusyError:
        _say({"outcome": "busy"})
        return FAILED
    except (OSError, GitError) as error:
        reason = getattr(error, "strerror", "") or str(error) or type(error).__name__
        _say({"outcome": "failed", "message": reason})
        return NO_ROOM if isinstance(error, OSError) else FAILED
    _say({"outcome": "done"})
    return DONE


def _end_with_reader() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock the end of the program waits for
        pass
    os._exit(FAILED)  # an index is whole at any moment


def _say(table: dict[str, Any]) -> None:
    print(json.dumps(table), flush=True)


class _Progress:
    """Shows now and then how far a build is: in JSON lines, or in one line of a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._said_s = time.monotonic()
        self._has_line = False

    def __call__(self, n_bytes: int, of_bytes: int) -> None:
        if time.monotonic() - self._said_s < _SAY_EVERY_S:
            return
        self._said_s = time.monotonic()
        if self._as_json:
            _say({"n_bytes": n_bytes, "of_bytes": of_bytes})
        elif sys.stderr.isatty() and of_bytes:
            self._has_line = True
            megabytes = f"{n_bytes / 1e6:.1f} of {of_bytes / 1e6:.1f} MB"
            share = f"{n_bytes / of_bytes:.0%}"
            print(f"\rreading {megabytes} ({share}) ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._has_line:
            print(file=sys.stderr)


def _status(root: Path) -> int:
    folder = index_folder(root)
    view = open_view(folder)
    if view.version is None:
        print(f"{root}: no index; make it with: foretype index build {as_word(str(root))}")
        return FAILED
    print(f"{root}: {'complete' if view.manifest.is_complete else 'begun'}, in {folder}")
    for layer in sorted({opened.ref.layer for opened in view.opened}):
        opened = [item for item in view.opened if item.ref.layer == layer]
        n_files = sum(len(item.files) for item in opened)
        n_text = sum(item.live_bytes for item in opened)
        n_bytes = sum(item.segment.n_bytes for item in opened)
        print(
            f"  {layer}: {n_files} files, {n_text / 1e6:.1f} MB of text,"
            f" {n_bytes / 1e6:.1f} MB on disk in {len(opened)} segments"
        )
    return DONE


def _clear(root: Path, *, everything: bool) -> int:
    folders = [index_folder(root)]
    if everything:
        folders = [*indexes_folder().iterdir()] if is_ours(indexes_folder()) else []
    folders = [folder for folder in folders if folder.is_dir()]
    try:
        for folder in folders:
            with lock_index(folder):  # not under another writer's hands
                shutil.rmtree(folder)
    except OSError as error:
        raise OSError(f"cannot delete the index: {error.strerror or error}") from error
    if everything:
        print(f"{len(folders)} deleted")
    else:
        print(f"{root}: {'deleted' if folders else 'there was none'}")
    return DONE


def _parser() -> argparse.ArgumentParser:
    text = "The index of a repository's text, in your cache folder."
    parser = CommandParser(prog="foretype index", description=text)
    add = parser.add_argument
    add("action", choices=("status", "build", "clear"))
    add("repo", nargs="?", help="a folder (default: the repository around this one)")
    add("--all", action="store_true", help="clear: the indexes of all folders")
    add("--exclude", action="append", metavar="PATTERN", help="leave these files out")
    add("--mb", type=int, help="largest size of the index on disk")
    add("--dependencies", action="store_true", help="also what the project imports, if installed")
    add("--watched", action="store_true", help=argparse.SUPPRESS)
    return parser
