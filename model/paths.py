"""Where foretype keeps its files, by the rules of each system. Asking creates nothing.

Linux: `~/.config`, `~/.cache`, `~/.local/share` and `~/.local/state`, or what the XDG variables
name. macOS: `~/Library`. Windows: `AppData/Local`. Logs have no folder: they go to standard error,
or to the file that the settings name.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from platformdirs import PlatformDirs

NAME = "foretype"
# Where everything was on macOS and Windows too before 0.2: people's settings and models stay found.
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

    `model` switches that off; versions of foretype before 0.2 did not, and other programs may not.
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


def make_private(folder: Path) -> Path:
    """Make a folder if it is missing, its owner's only, and return it.

    One that others can open is closed to them; one that is not ours to change may still be read.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name != "nt" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        with contextlib.suppress(OSError):
            folder.chmod(0o700)
    return folder
