"""A tuning that is killed again and again, before one rename after another, until it is through.

    python -m tests.training.tune.crashing FOLDER

Each try is a process of its own, forked before anything was computed. Prints a JSON line a try.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from assistant.models.registry import Registry, repository_id
from model.folder import load_folder
from tests.histories import judges, small_request
from training.tune import gather, steps
from training.tune.prepare import Request
from training.tune.session import tune

EVERY = 3  # renames that a try gets through, less one


def main(folder: Path) -> int:
    """Make the repository, kill tries until one ends by itself, then tune once undisturbed."""
    gather.MIN_TOKENS, steps.MAX_BYTES = 1_000, 2_000
    torch.set_num_threads(1)
    request = small_request(folder)
    while True:
        status = in_child(lambda: disturbed(request))
        print(json.dumps({"status": status, **served(request)}), flush=True)
        if status != -signal.SIGKILL:
            break
    os.environ["XDG_DATA_HOME"] = str(folder / "undisturbed")
    status = in_child(lambda: tune(request, judges()))
    print(json.dumps({"status": status, **served(request)}), flush=True)
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


def disturbed(request: Request) -> None:
    """Tune, and be killed before a later rename."""
    left = EVERY
    for name in ("rename", "replace"):
        plain = getattr(Path, name)

        def counted(self: Path, target: Path, plain: Callable[..., Path] = plain) -> Path:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(self, target)

        setattr(Path, name, counted)
    tune(request, judges())


def served(request: Request) -> dict[str, object]:
    """Return what a server would find now; it must be whole."""
    registry = Registry()
    place = registry.chosen(repository_id(request.repository))
    for entry in registry.entries():
        assert load_folder(registry.place(entry.name)).content_hash == entry.content_hash
    found = "" if place is None else load_folder(place).content_hash
    return {"served": found, "listed": len(registry.entries())}


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
