"""Writers of the registry that are killed at each of their steps, or write at the same time.

Run as `python -m tests.assistant.models.crashing ACTION FOLDER`; forks, so it is a program of its
own. Prints how many places it was killed at, or exits with what was wrong.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from assistant.models.registry import LOCK_NAME, Registry
from assistant.models.registry_file import FILE_NAME
from model.folder import load_folder
from tests.doubles import names_in, tiny_folder
from tests.own_models import HERE, added, entry_of

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree")
N_ADDED = 5  # by each of two writers


class Bench:
    """A registry with one model in use, and a second one to be added or removed."""

    def __init__(self, place: Path, other_disk: Path | None) -> None:
        self.place = place
        self.first = tiny_folder(place, name="first", seed=1)
        self.second = tiny_folder(place, name="second", seed=2)
        self.source = (other_disk or place) / "arrives"
        self.registry = Registry(place / "models")

    def fresh(self, *, with_second: bool) -> None:
        for folder in (self.registry.folder, self.source):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.second, self.source)
        shutil.copytree(self.first, self.place / "first-to-add")
        first = self.registry.add(self.place / "first-to-add", entry_of(self.first, "first"))
        self.registry.use(first.name, HERE)
        if with_second:
            self.registry.add(self.source, entry_of(self.second, "second"))

    def add(self) -> None:
        self.registry.add(self.source, entry_of(self.second, "second"))

    def use(self) -> None:
        self.registry.use("second", HERE)

    def remove(self) -> None:
        self.registry.remove("second")

    def check(self) -> None:
        """Readers see whole models whatever a killed writer left, and the next writer tidies up."""
        served = self.registry.find_folder(HERE)
        assert served is not None and load_folder(served)
        self.check_listed()
        self.registry.pin(HERE)
        names = self.check_listed()
        left = {*names_in(self.registry.folder)} - {FILE_NAME, LOCK_NAME}
        assert left == names, (left, names)

    def check_listed(self) -> set[str]:
        entries = self.registry.entries()
        for entry in entries:
            found = load_folder(self.registry.place(entry.name))
            assert found.content_hash == entry.content_hash
        return {entry.name for entry in entries}


def killed_at(step: int, action: Callable[[], None]) -> bool:
    """Run `action` in a child that is killed at its step number `step`; say whether it was."""
    child = os.fork()
    if not child:
        steps = count(1)

        def hook(event: str, _: object) -> None:
            if event in EVENTS and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)


def crash(name: str, place: Path, other_disk: Path | None) -> int:
    bench = Bench(place, other_disk)
    action: Callable[[], None] = getattr(bench, name)
    for step in count(1):
        bench.fresh(with_second=name != "add")
        was_killed = killed_at(step, action)
        bench.check()
        if name == "add":
            bench.add()  # again, as the user does after a crash
            assert bench.check_listed() == {"first", "second"}
        if not was_killed:
            return step - 1
    raise AssertionError


def write_together(place: Path) -> int:
    """Two processes add models and choose them; nothing of either is lost."""
    folder = tiny_folder(place, name="first", seed=1)
    children = []
    for writer in range(2):
        if not (child := os.fork()):
            registry = Registry(place / "models")
            for number in range(N_ADDED):
                name = f"writer-{writer}-{number}"
                repository = f"{writer}{number}" * 16
                added(registry, folder, name, repository=repository)
                registry.use(name, repository)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    registry = Registry(place / "models")
    assert len(registry.entries()) == 2 * N_ADDED
    for entry in registry.entries():
        assert registry.find_folder(entry.repository) == registry.place(entry.name)
        assert load_folder(registry.place(entry.name))
    return 2 * N_ADDED


if __name__ == "__main__":
    what, where, *elsewhere = sys.argv[1:]
    if what == "together":
        print(write_together(Path(where)))
    else:
        print(crash(what, Path(where), Path(elsewhere[0]) if elsewhere else None))
