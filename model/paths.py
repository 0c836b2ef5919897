"""Where foretype keeps its files, by the rules of each system. Asking creates nothing.

Linux: `~/.config`, `~/.cache`, `~/.local/share` and `~/.local/state`, or what the XDG variables
name. macOS: `~/Library`. Windows: `AppData/Local`. Logs have no folder: they go to standard error,
or to the file that the settings name.
"""

import contextlib
import os
import re
import stat
from pathlib import Path

from platformdirs import PlatformDirs

NAME = "foretype"
MARKER = "CACHEDIR.TAG"  # in folders for derived data: backup programs know it too
CACHE_REMEDY = (
    "make it writable, with room, or name another folder in the environment variable FORETYPE_CACHE"
)
_MARK = b"""Signature: 8a477f597d28d172789f06886806bc55
# Made by foretype; `foretype purge` deletes it.
"""
_OUR_NAME = re.compile(r"\.?[0-9a-f]{32}")  # an index or a graph, in folders without a mark
# The user and root, who can do anything; nobody on Windows, where folders inherit permissions.
_OWNERS = (os.getuid(), 0) if hasattr(os, "getuid") else ()
# Where everything once was on macOS and Windows too: people's settings and models stay found.
_BEFORE = {
    "CONFIG": Path(".config"), "DATA": Path(".local/share"), "STATE": Path(".local/state"),
}  # fmt: skip


def config_folder() -> Path:
    """Return the folder of `settings.toml` and `remote.toml`."""
    return _unless_before("CONFIG", Path(_dirs().user_config_dir))


def cache_folder() -> Path:
    """Return the folder for files that can be made again; `FORETYPE_CACHE` names another."""
    return Path(os.environ.get("FORETYPE_CACHE") or _dirs().user_cache_dir).absolute()


def data_folder() -> Path:
    """Return the folder for what took long to make: models and runs of `foretype tune`."""
    return _unless_before("DATA", Path(_dirs().user_data_dir))


def state_folder() -> Path:
    """Return the folder for records that are not caches."""
    return _unless_before("STATE", Path(_dirs().user_state_dir))


def telemetry_folders() -> list[Path]:
    """Return where onnxruntime keeps a device id and what it means to upload, if it is let.

    `model` switches that off; the first versions of foretype did not, and other programs may not.
    """
    everyones = PlatformDirs()
    places = (everyones.user_cache_dir, everyones.user_data_dir)
    return [Path(place, "Microsoft", "DeveloperTools", ".onnxruntime") for place in places]


def _dirs() -> PlatformDirs:
    return PlatformDirs(NAME, appauthor=False)


def _unless_before(kind: str, path: Path) -> Path:
    if os.path.isabs(os.environ.get(f"XDG_{kind}_HOME", "")):  # noqa: PTH117 - "" is no path
        return path
    before = Path.home() / _BEFORE[kind] / NAME
    return before if before.is_dir() else path


def claim(folder: Path) -> Path:
    """Make a folder of ours if it is missing, the owner's only and marked, and return it.

    OSError if it is another user's, or if it holds other things than ours; it stays as it is then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if _OWNERS and folder.stat().st_uid not in _OWNERS:
        raise OSError(f"{folder} belongs to another user")
    if any(folder.iterdir()) and not is_ours(folder):
        raise OSError(f"{folder} holds other things than foretype's")
    if os.name != "nt" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)
    if not (folder / MARKER).exists():
        (folder / MARKER).write_bytes(_MARK)
    return folder


def is_ours(folder: Path) -> bool:
    """Say whether a folder has our mark, or nothing in it but what our names begin like."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return False
        if (folder / MARKER).is_file():
            return (folder / MARKER).read_bytes()[: len(_MARK)] == _MARK
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return False
    return bool(names) and all(map(_OUR_NAME.match, names))


def find_exposure(*paths: Path) -> str:
    """Return why others than the owner can have put what is at these paths, "" if they cannot.

    What is not there exposes nothing.
    """
    for path in paths:
        try:
            info = path.stat()
        except OSError:
            continue
        if _OWNERS and info.st_uid not in _OWNERS:
            return f"{path} belongs to another user"
        if _OWNERS and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
            return f"{path} can be changed by other users"
    return ""
