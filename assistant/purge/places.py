"""What foretype leaves on a machine, and how it is removed: nothing behind a link, nothing else's.

Settings, model folders and editors' configuration are the user's own and are not listed.
"""

from dataclasses import dataclass
from pathlib import Path

from assistant.doctor.storage import size_of
from assistant.logs import FILE_COPIES
from model.paths import (
    NAME,
    cache_folder,
    config_folder,
    data_folder,
    state_folder,
    telemetry_folders,
)

MODELS = "models"  # tuned weights took hours to make: only when asked for by name
_KNOWN = {  # what we put into the folders for derived data
    "graphs": "models made ready to run",
    "index": "indexes of your code",
    "memory": "indexes of your code",  # as this folder was called until 0.2
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


def list_stored(log_file: str, *, with_models: bool = False) -> tuple[list[Item], list[str]]:
    """Return all that is ours, and a sentence on each thing left out on purpose.

    Models tuned here are left out unless they are asked for.
    """
    items: list[Item] = []
    left: list[str] = []
    for folder in _folders():
        if folder.is_symlink():
            left.append(f"{folder} is a link to {folder.readlink()}, which is not followed")
        elif folder.is_dir():
            found = _list_folder(folder)
            items += [item for item in found if with_models or not _is_models(item.path)]
            left += [_KEPT for item in found if _is_models(item.path) and not with_models]
    items += [
        Item(path=path, what="onnxruntime's telemetry", n_bytes=size_of(path))
        for path in telemetry_folders()
        if path.is_dir()
    ]
    items += _find_logs(log_file)
    return items, left


def remove_empty() -> None:
    """Remove our own folders if nothing is left in them."""
    for folder in _folders():
        if folder.name == NAME and folder.is_dir() and not folder.is_symlink():
            if not any(folder.iterdir()):
                folder.rmdir()


def _folders() -> list[Path]:
    """Return the folders for derived data: cache, state, data; they need not exist."""
    return list(dict.fromkeys((cache_folder(), state_folder(), data_folder())))


def _list_folder(folder: Path) -> list[Item]:
    """List a folder; one that does not bear our name may hold other things than ours.

    So may one that holds the settings too, as on macOS and Windows.
    """
    found = []
    is_ours = folder.name == NAME
    for path in sorted(folder.iterdir()):
        what = _KNOWN.get(path.name.partition(".")[0]) or (
            _KNOWN_OF_OURS.get(path.name) if is_ours else None
        )
        if what is None and (not is_ours or folder == config_folder()):
            continue
        found.append(Item(path=path, what=what or "derived data", n_bytes=size_of(path)))
    return found


def _is_models(path: Path) -> bool:
    return path.name == MODELS and path.parent.name == NAME


def _find_logs(log_file: str) -> list[Item]:
    if not log_file:
        return []
    path = Path(log_file).expanduser().absolute()
    names = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, FILE_COPIES + 1))]
    return [
        Item(path=name, what="log", n_bytes=size_of(name))
        for name in names
        if name.is_file() and not name.is_symlink()
    ]
