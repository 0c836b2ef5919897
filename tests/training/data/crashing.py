"""The preparation of a corpus that is killed again and again, until it is through.

    python -m tests.training.data.crashing FOLDER ROUND

Each try is a process of its own, killed when it has opened, renamed or made so many files,
ever more of them. Prints how often; exits with what was wrong.
"""

import os
import random
import signal
import sys
from itertools import count
from pathlib import Path

from tests.repositories import MIT, new_repository
from tests.training.data.test_prepare import code, places, recipe
from training.data.prepare import prepare

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "shutil.rmtree")
N_SOURCES = 4


def killed_at(step: int, folder: Path) -> bool:
    """Prepare in a child that is killed at its step number `step`; say whether it was."""
    if not (child := os.fork()):
        steps = count(1)

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            is_ours = event in EVENTS and str(folder) in str(arguments[0])
            if is_ours and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        status = 1
        try:
            prepare(recipe(folder / "sources", folder), folder / "corpus")
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def main(folder: Path, round_: int) -> int:
    for number in range(N_SOURCES):
        texts = {"LICENSE": MIT, f"{number}.py": code(f"a{number}"), "b.py": code(f"b{number}")}
        new_repository(folder / "sources" / f"good+{number}", texts)
    new_repository(folder / "sources" / "kept+out", {"LICENSE": MIT, "g.py": code("g")})
    prepare(recipe(folder / "sources", folder), folder / "undisturbed")
    dice = random.Random(round_)
    step = dice.randrange(1, 8)
    n_kills = 0
    while not (folder / "corpus").exists() and killed_at(step, folder):
        n_kills += 1
        step += dice.randrange(3, 12)
    for split in ("train", "validation"):
        assert places(folder / "corpus", split) == places(folder / "undisturbed", split)
    for path in (folder / "undisturbed").iterdir():
        assert (folder / "corpus" / path.name).read_bytes() == path.read_bytes(), path.name
    return n_kills


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
