"""`foretype eval [REPO ...]`: how good foretype would have been on your own later commits.

Replays what the last commits added, with the tree as it was before each of them, through the engine
that editors use: with network and index, with each alone, and beside a plain baseline. Nothing is
sent anywhere. Tables on stdout; with --json a report with every figure, and no line of code.
"""

import argparse
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.cli.command import DONE
from assistant.git import GitError, git, git_directory
from assistant.settings import load_settings
from model.files import from_root
from model.folder import bundled_for
from model.foreign import load_model
from training import cli
from training.cli import existing_folder
from training.data.progress import say
from training.evaluation import next_edit
from training.evaluation.replay.history import ReplayError
from training.evaluation.replay.report import Report, assemble
from training.evaluation.replay.report_tables import format_report
from training.evaluation.replay.run import INTERRUPTED, Plan, Work, measure, plan_work
from training.evaluation.replay.systems import SYSTEMS, open_systems

QUICK_LIMIT_S = 75.0  # for asking; drawing the tasks and loading come on top
_QUICK = Plan(n_tasks=80, n_lines=10, n_commits=8, limit_s=QUICK_LIMIT_S)
_FULL = Plan(n_tasks=400, n_lines=60)
NEXT_EDIT_COMMITS = 200
_INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Run the command; a user's mistake is one line on stderr."""
    if "--next-edit" in argv:
        return cli.report_on("eval", _parser(), argv, _next_edit, next_edit.format_report)

    def finish(report: Report) -> int:
        return _INTERRUPTED if report["stopped"] == INTERRUPTED else DONE

    return cli.report_on("eval", _parser(), argv, evaluate, format_report, finish)


def _next_edit(args: argparse.Namespace) -> dict[str, Any]:
    repositories = [_find_repository(path) for path in args.repositories]
    n_commits = args.n_commits or NEXT_EDIT_COMMITS
    return next_edit.evaluate(repositories, n_commits, show=load_settings().show, seed=args.seed)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("eval", __doc__)
    option = parser.add_argument
    option(
        "repositories", metavar="REPO", type=existing_folder, nargs="*", default=[Path()],
        help="git repositories, bare or not (default: the one around this folder)",
    )  # fmt: skip
    option("--quick", action="store_true", help="a first impression in under two minutes")
    count = functools.partial(option, type=cli.count, metavar="N")
    count("--tasks", dest="n_tasks", help="cursors in each repository (default: 400)")
    count("--lines", dest="n_lines", help="whole lines typed in each (default: 60)")
    count("--commits", dest="n_commits", help="commits of each (default: 20)")
    help_ = "commits (default: the last fifth)"
    option("--range", dest="revisions", metavar="A..B", help=help_)
    help_ = f"of: {', '.join(SYSTEMS)} (default: all)"
    option("--systems", type=_parse_systems, default=SYSTEMS, help=help_)
    option("--next-edit", action="store_true", help="judge what is offered after an edit, instead")
    return parser


def _parse_systems(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in SYSTEMS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of: {', '.join(SYSTEMS)}")
    return tuple(dict.fromkeys(names))


def evaluate(args: argparse.Namespace) -> Report:
    """Draw the tasks, ask, and return the report; ReplayError and others say what to mend."""
    names = ("n_tasks", "n_lines", "n_commits", "seed", "revisions")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    plan = (_QUICK if args.quick else _FULL)._replace(**given)
    repositories = [_find_repository(path) for path in args.repositories]
    say("reading the history")
    work = plan_work(repositories, plan)
    languages = {task.stratum.language for part in work for task in part.tasks}
    places = [args.model] if args.model else sorted({*map(bundled_for, languages)})
    folders = [load_model(place) for place in places]
    with tempfile.TemporaryDirectory(prefix="foretype-eval-", ignore_cleanup_errors=True) as place:
        systems = open_systems(args.systems, model=str(args.model or ""), folder=Path(place))
        measured = measure(work, systems, limit_s=plan.limit_s)
        if not measured.asked:
            raise ReplayError(f"nothing was measured: {measured.stopped}")
        report = assemble(
            measured,
            systems,
            plan,
            model=", ".join(folder.info.name for folder in folders),
            content_hash=", ".join(folder.content_hash for folder in folders),
        )
    code = _measure_code(repositories, work)
    for item in report["repositories"]:
        item.update(code[item["name"]])
    return report


def _measure_code(repositories: Sequence[Path], work: Sequence[Work]) -> dict[str, dict[str, int]]:
    """Return how much there is to tune on: bytes of code in the largest tree, and commits."""
    found: dict[str, dict[str, int]] = {}
    for part in work:
        snapshot = part.tasks[0].snapshot
        n_bytes = sum(len(text.encode()) for _, text in snapshot.files)
        its = found.setdefault(part.tasks[0].stratum.repository, {"code_bytes": 0, "history": 0})
        its["code_bytes"] = max(its["code_bytes"], n_bytes)
    for repository, its in zip(repositories, found.values(), strict=False):
        try:
            its["history"] = int(git(repository, "rev-list", "--first-parent", "--count", "HEAD"))
        except GitError:
            continue  # a folder without HEAD, evaluated by --range
    return found


def _find_repository(path: Path) -> Path:
    """Return the repository that a folder is part of; itself if it is in none."""
    path = from_root(path)
    return next((place for place in (path, *path.parents) if git_directory(place)), path)
