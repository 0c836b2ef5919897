"""A tuning that is killed again and again, some files and folders further, until it is through.

    python -m tests.training.finetune.crashing FOLDER ROUND

Each try is a process of its own, forked before anything was computed. Prints a JSON line a try.
In round 0 it is killed when a file or folder is in its place, in others somewhat later.
"""

import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from assistant.models.registry import Registry, models_folder, repository_id
from model.folder import load_folder
from tests.histories import scripted_tuner, small_request
from training.finetune import session, texts
from training.finetune.request import TuneRequest

Rename = Callable[[Path, Path], Path]


def main(folder: Path, round_: int) -> int:
    """Make the repository, kill tries until one ends by itself, then tune once undisturbed."""
    texts.MIN_TOKENS, session.MAX_BYTES = 1_000, 2_000
    torch.set_num_threads(1)
    request = small_request(folder)
    n_renames, seen = 1, {names()}
    dice = random.Random(round_)
    while (
        status := in_child(disturbed(request, n_renames, dice.randrange(60 * min(round_, 1) + 1)))
    ) == -signal.SIGKILL:
        report(status, request)
        # A step of several renames is begun again: to get through it takes a later kill.
        n_renames += names() in seen
        seen.add(names())
    report(status, request)
    os.environ["XDG_DATA_HOME"] = str(folder / "undisturbed")
    report(in_child(lambda: scripted_tuner()(request)), request)
    return 0


def in_child(work: Callable[[], object]) -> int:
    """Do it in a fork; return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def disturbed(request: TuneRequest, n_renames: int, n_more: int) -> Callable[[], object]:
    """Return a tuning that is killed when so many files and folders have been put in place.

    And so many more files opened.
    """

    def work() -> object:
        left = [n_renames]
        for name in ("rename", "replace"):
            setattr(Path, name, counting(getattr(Path, name), left, n_more))
        return scripted_tuner()(request)

    return work


def counting(plain: Rename, left: list[int], n_more: int) -> Rename:
    """Return a rename that is the last thing a process does when none is left."""

    def counted(self: Path, target: Path) -> Path:
        moved = plain(self, target)
        left[0] -= 1
        if left[0] == 0:
            kill_after(n_more)
        return moved

    return counted


def kill_after(n_opened: int) -> None:
    left = itertools.count(n_opened, -1)

    def hook(event: str, _: object) -> None:
        if event == "open" and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if not n_opened:
        hook("open", None)


def names() -> tuple[str, ...]:
    """Return what lies in the user's data, but for what is half written."""
    data = models_folder().parent
    paths = [path.relative_to(data) for path in data.rglob("*") if path.suffix != ".part"]
    whole = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    return tuple(sorted(map(str, whole)))


def report(status: int, request: TuneRequest) -> None:
    print(json.dumps({"status": status, **served(request)}), flush=True)


def served(request: TuneRequest) -> dict[str, object]:
    """Return what a server would find now; it must be whole."""
    registry = Registry()
    place = registry.find_folder(repository_id(request.repository))
    for entry in registry.entries():
        assert load_folder(registry.place(entry.name)).content_hash == entry.content_hash
    found = "" if place is None else load_folder(place).content_hash
    return {"served": found, "listed": len(registry.entries())}


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
