"""Git histories of many commits, made in one go; what a tuning of a tiny network needs."""

import dataclasses
import functools
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.doubles import tiny_folder
from tests.repositories import plain_git
from training.finetune.plan import HistorySplit, ModelRef, TunePlan
from training.finetune.request import TuneOptions, TuneRequest
from training.finetune.session import TuneOutcome, tune


def new_history(path: Path, commits: Sequence[Mapping[str, str]]) -> Path:
    """Make a bare repository: each commit writes its files over those before."""
    path.mkdir(parents=True)
    plain_git(path, "init", "-q", "--bare", "-b", "main")
    return add_commits(path, commits)


def add_commits(path: Path, commits: Sequence[Mapping[str, str]]) -> Path:
    """Add commits to a repository that `new_history` made."""
    has_head = bool(plain_git(path, "rev-list", "--all", "-1").strip())
    stream: list[bytes] = []
    for number, files in enumerate(commits):
        stream.append(b"commit refs/heads/main\n")
        stream.append(
            b"committer A <a@example.org> %d +0000\ndata 1\nc\n" % (1_700_000_000 + number)
        )
        if number == 0 and has_head:
            stream.append(b"from refs/heads/main^0\n")
        for name, text in files.items():
            data = text.encode()
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data))
    command = ["git", "--git-dir", str(path), "fast-import", "--quiet", "--force"]
    subprocess.run(command, input=b"".join(stream), check=True)
    return path


def module(number: int, n_functions: int = 1) -> str:
    """Source of a module like no other."""
    return "".join(
        f"def handle_{number}_{n}(request, limit={number}):\n"
        f'    """Handle part {n} of request {number}."""\n'
        f"    total = request.count_{n} + limit * {n + number}\n"
        f"    return total if total > {number} else {n}\n\n\n"
        for n in range(n_functions)
    )


def growing_history(path: Path, n_commits: int = 50) -> Path:
    """Make a repository that each commit adds a module to."""
    return new_history(
        path, [{f"pkg/part_{number}.py": module(number)} for number in range(n_commits + 1)]
    )


SCORES = {"bits_base": 1.2, "bits_tuned": 1.0}


def scripted_tuner(
    *, promoted: bool = True, seen: list[TunePlan] | None = None, **parts: Any
) -> Callable[..., TuneOutcome]:
    """`tune` with a judge who says what a test wants, and remembers what it was asked."""

    def judge(
        plan: TunePlan, tuned: Path, general: Sequence[tuple[str, str]], folder: Path
    ) -> dict[str, Any]:
        assert tuned.is_dir() and general and not list(folder.iterdir())
        if seen is not None:
            seen.append(plan)
        return {
            "promoted": promoted, "reasons": ["as the test says"], "scores": dict(SCORES),
            "report": {"n": 1},
        }  # fmt: skip

    return functools.partial(tune, **({"judge": judge} | parts))


def made_plan(**changes: Any) -> TunePlan:
    """Return the plan of a repository that is not there."""
    base = ModelRef(path="/models/base", content_hash="cd" * 32)
    split = HistorySplit(
        trained_to="a" * 40, developed_to="b" * 40, judged_to="c" * 40,
        n_trained=40, n_development=3, n_judged=7,
    )  # fmt: skip
    plan = TunePlan(
        name="project-20261122-1", repository_id="ab" * 16, root="/home/me/project",
        split=split, base=base, serving=base, options=TuneOptions(),
    )  # fmt: skip
    return dataclasses.replace(plan, **changes)


def general_folder(path: Path) -> Path:
    """Write a little code that is not the repository's."""
    path.mkdir(parents=True)
    for number in range(20):
        (path / f"plain_{number}.py").write_text(module(1_000 + number, n_functions=4))
    return path


def small_request(
    parent: Path, *, n_epochs: int = 2, repository: Path | None = None
) -> TuneRequest:
    """Ask for the tuning of a small repository on a tiny base, both below `parent`."""
    return TuneRequest(
        repository=repository or growing_history(parent / "project"),
        base=tiny_folder(parent),
        options=TuneOptions(n_epochs=n_epochs, general=str(general_folder(parent / "general"))),
    )
