"""Checks of what is on disk: the model folder, the cache, the statistics, a repository's index.

Knows where these are and how to open them, not what they are used for.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from assistant.counts import StatisticsError, read, statistics_path
from assistant.doctor.finding import CheckResult, broken, ok, warning
from assistant.index.reader import open_view
from assistant.index.writer import index_folder
from assistant.models.identity import repository_root
from assistant.settings import Settings
from model.folder import ModelFolderError, bundled_folders, load_folder
from model.paths import cache_folder, find_exposure, telemetry_folders

MIN_FREE_BYTES = 500_000_000


def models(settings: Settings) -> Iterator[CheckResult]:
    """Check the model folder that the settings name, else all bundled ones."""
    if settings.model:
        yield model(Path(settings.model).expanduser(), "or leave `model` empty for ours")
    else:
        for path in bundled_folders():
            yield model(path, "install foretype again")


def model(path: Path, fix: str) -> CheckResult:
    """Check every file of a model folder, its checksums and its vocabulary."""
    try:
        folder = load_folder(path)
        folder.tokenizer()
    except ModelFolderError as error:
        return broken("model", str(error), fix)
    size = sum(file.stat().st_size for file in path.iterdir())
    found = f"{folder.info.name}, {size / 1e6:.1f} MB, checksums right, in {path}"
    return ok("model", found)


def cache() -> CheckResult:
    """Check that derived files can be written, and that there is room."""
    path = cache_folder()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x")
        free = shutil.disk_usage(path).free
    except OSError as error:
        fix = "make it writable, or name another folder in the environment variable FORETYPE_CACHE"
        return broken("cache", f"{path}: {error.strerror or error}", fix)
    found = f"{path} holds {size_of(path) / 1e6:.0f} MB; {free / 1e9:.1f} GB are free"
    if exposure := find_exposure(path / "index", path / "graphs"):
        return warning(
            "cache", f"{exposure}, so it is not used", "delete it, or close it to others"
        )
    if free < MIN_FREE_BYTES:
        return warning("cache", found, "make room; `foretype purge` removes what is ours")
    return ok("cache", found)


def telemetry() -> CheckResult:
    """Look for what onnxruntime's telemetry has left; here it is switched off."""
    if left := [path for path in telemetry_folders() if path.is_dir()]:
        found = f"onnxruntime, when used without foretype or by an old one, left {left[0]}"
        return warning("telemetry", found, "`foretype purge` removes it; nothing here makes it")
    return ok("telemetry", "none, and none was left by onnxruntime")


def statistics(settings: Settings) -> CheckResult:
    """Say where what became of suggestions is counted, and whether that can be read."""
    try:
        n_days = len({day for day, *_ in read()})
    except StatisticsError as error:
        return warning("statistics", str(error), "foretype stats --reset")
    state = "" if settings.statistics else "; switched off in the settings"
    found = f"{n_days} day{'s' * (n_days != 1)} counted in {statistics_path()}{state}"
    return ok("statistics", found)


def index(settings: Settings, place: Path) -> CheckResult:
    """Look at the index of the repository that `place` is in."""
    root = repository_root(place)
    if not settings.index:
        return ok("index", "switched off in the settings")
    if root is None:
        return ok("index", f"{place} is in no git repository; editors index the folder they open")
    build = f"foretype index build {root}"
    try:
        view = open_view(index_folder(root))
    except OSError as error:
        return warning("index", str(error), "make that file readable")
    if view.damaged:
        return warning("index", f"the index of {root} is damaged", f"build it again: {build}")
    if view.version is None:
        return ok("index", f"no index of {root} yet; an editor makes it, as does: {build}")
    n_files = sum(len(item.files) for item in view.opened)
    n_bytes = sum(item.live_bytes for item in view.opened)
    state = "" if view.manifest.is_complete else ", not complete yet"
    return ok("index", f"{root}: {n_files} files, {n_bytes / 1e6:.1f} MB{state}")


def size_of(path: Path) -> int:
    """Return the bytes of all files under a folder, links not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if os.path.lexists(path) else 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - many files
            except OSError:  # removed in the meantime
                continue
    return total
