"""What foretype leaves on a machine, and how it is removed: nothing behind a link, nothing else's.

Settings, model folders and editors' configuration are the user's own and are not listed.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from assistant.doctor.storage import size_of
from assistant.logs import FILE_COPIES
from assistant.setup.machine import Machine
from model.files import cache_path

OUR_NAME = "foretype"
MODELS = "models"  # tuned weights took hours to make: only when asked for by name
_KNOWN = {  # what we put into the folders for derived data
    "graphs": "models made ready to run",
    "memory": "indexes of your code",
    "egress": "record of what was sent",
    "stats": "statistics",
}
_KNOWN_OF_OURS = {  # and only into folders that bear our name
    "tune": "runs of `foretype tune`: one that was stopped cannot go on",
    MODELS: "models tuned on your repositories: to have them back takes as long as it took",
}

_KEPT = "models tuned on your repositories (foretype models); --models removes them too"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One file or folder of ours."""

    path: Path
    what: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What is to be removed, and what was left out on purpose."""

    items: tuple[Item, ...]
    left: tuple[str, ...]  # a sentence each


def listing(machine: Machine, log_file: str, *, with_models: bool = False) -> Listing:
    """Look for all that is ours; models tuned here are left out unless they are asked for."""
    items: list[Item] = []
    left: list[str] = []
    for folder in _folders(machine):
        if folder.is_symlink():
            left.append(f"{folder} is a link to {folder.readlink()}, which is not followed")
        elif folder.is_dir():
            found = _in_folder(folder)
            items += [item for item in found if with_models or not _is_models(item.path)]
            left += [_KEPT for item in found if _is_models(item.path) and not with_models]
    items += _logs(log_file)
    return Listing(items=tuple(items), left=tuple(left))


def remove(item: Item) -> None:
    """Remove one thing; of a link, the link alone. OSError if it cannot be done."""
    path = item.path
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)  # does not follow links either


def remove_empty(machine: Machine) -> None:
    """Remove our own folders if nothing is left in them."""
    for folder in _folders(machine):
        if folder.name == OUR_NAME and folder.is_dir() and not folder.is_symlink():
            if not any(folder.iterdir()):
                folder.rmdir()


def _folders(machine: Machine) -> list[Path]:
    """Return the folders for derived data: cache, state, data; they need not exist."""
    named = machine.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if Path(named).is_absolute() else machine.home / ".local" / "state"
    folders = [cache_path(), state / OUR_NAME, machine.data_home / OUR_NAME]
    return list(dict.fromkeys(folders))


def _in_folder(folder: Path) -> list[Item]:
    """List a folder; one that does not bear our name may hold other things than ours."""
    found = []
    for path in sorted(folder.iterdir()):
        is_ours = folder.name == OUR_NAME
        what = _KNOWN.get(path.stem) or (_KNOWN_OF_OURS.get(path.name) if is_ours else None)
        if what is None and not is_ours:
            continue
        found.append(Item(path=path, what=what or "derived data", n_bytes=size_of(path)))
    return found


def _is_models(path: Path) -> bool:
    return path.name == MODELS and path.parent.name == OUR_NAME


def _logs(log_file: str) -> list[Item]:
    if not log_file:
        return []
    path = Path(log_file).expanduser().absolute()
    names = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, FILE_COPIES + 1))]
    return [
        Item(path=name, what="log", n_bytes=size_of(name))
        for name in names
        if name.is_file() and not name.is_symlink()
    ]
