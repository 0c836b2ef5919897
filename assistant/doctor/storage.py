"""Checks of what is on disk: the models, the cache, the statistics, a repository's index."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from assistant.counts import StatisticsError, read, statistics_path
from assistant.doctor import CheckResult, broken, ok, warning
from assistant.index.folder_index import find_indexed_root
from assistant.index.reader import open_view
from assistant.index.writer import index_folder
from assistant.models.registry import BASE, ModelEntry, ModelsError, Registry, open_to_others
from assistant.models.selection import find_place
from assistant.settings import Settings
from model.files import from_root
from model.folder import ModelFolderError, bundled_folders, load_folder
from model.foreign import load_model
from model.paths import CACHE_REMEDY, cache_folder, find_exposure, telemetry_folders
from model.runtime import RuntimeLoadError

MIN_FREE_BYTES = 500_000_000
_OWN = "own models"


def served_models(settings: Settings) -> Iterator[CheckResult]:
    """Check the model folder that the settings name, else all bundled ones."""
    paths, fix = [*bundled_folders()], "install foretype again"
    if settings.model:
        paths, fix = [Path(settings.model).expanduser()], "or leave `model` empty for ours"
    for path in paths:
        try:
            folder = load_folder(path)
            folder.tokenizer()
        except ModelFolderError as error:
            yield broken("model", str(error), fix)
            continue
        size = sum(file.stat().st_size for file in path.iterdir())
        yield ok("model", f"{folder.info.name}, {size / 1e6:.1f} MB, checksums right, in {path}")


def cache() -> CheckResult:
    """Check that derived files can be written, and that there is room."""
    path = cache_folder()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x")
        free = shutil.disk_usage(path).free
    except OSError as error:
        return broken("cache", f"{path}: {error.strerror or error}", CACHE_REMEDY)
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
    root = find_indexed_root(place)
    if not settings.index:
        return ok("index", "switched off in the settings")
    if root is None:
        return ok(
            "index",
            f"{from_root(place)} is in no git repository; editors index the folder they open",
        )
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
            with contextlib.suppress(OSError):  # removed in the meantime
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - many files
    return total


def own_models(settings: Settings, place: Path) -> Iterator[CheckResult]:
    """Look at the registry and all that it lists, then say which model serves `place`."""
    registry = Registry()
    if not registry.folder.exists() and not registry.folder.is_symlink():
        yield ok(_OWN, "none; `foretype tune` makes one, `foretype models add` takes one")
        return
    if exposed := [*open_to_others(registry.folder)]:
        found = f"{len(exposed)} files or folders are open to others, {exposed[0]} among them"
        yield warning(_OWN, found, f"chmod -R go-rwx {registry.folder}")
    try:
        entries = registry.entries()
    except ModelsError as error:
        yield warning(_OWN, str(error), f"mend {registry.file}; the models beside it are not lost")
        return
    yield from _own_folders(registry, entries)
    yield ok(_OWN, f"{len(entries)} listed; {_serving(registry, settings, place)}")


def _own_folders(registry: Registry, entries: list[ModelEntry]) -> Iterator[CheckResult]:
    known = {entry.content_hash for entry in entries}
    for path in bundled_folders():
        with contextlib.suppress(ModelFolderError):  # which another check says
            known.add(load_folder(path).content_hash)
    for entry in entries:
        again = "tune again" if entry.trained_to else "`foretype models add` it again"
        remedy = f"foretype models remove {entry.name} --force, then {again}"
        try:
            folder = load_model(registry.place(entry.name))
            folder.tokenizer()
        except (ModelFolderError, RuntimeLoadError) as error:
            yield warning(_OWN, str(error), remedy)
            continue
        if folder.content_hash != entry.content_hash:
            yield warning(_OWN, f"{entry.name} is not the model that was listed", remedy)
        elif entry.parent and entry.parent not in known:
            found = f"{entry.name} was tuned from {entry.parent[:12]}, which is not here any more"
            yield warning(_OWN, found, "it works as before; tune again to build on the newer base")
    listed = {entry.name for entry in entries}
    for path in sorted(registry.folder.iterdir()):
        if path.is_dir() and path.name not in listed:
            fix = "delete it if you know what it is; nothing serves it"
            yield warning(_OWN, f"{path} is not listed", fix)


def _serving(registry: Registry, settings: Settings, place: Path) -> str:
    if settings.model:
        return "the setting `model` wins over them"
    try:
        book, here = registry.book(), find_place(place)
        name = book.serving_name(here.repository)
        pinned = ", pinned" if book.choice(here.repository).is_pinned else ""
    except ModelsError:
        return f"{BASE} serves {place.resolve()}, which is in no repository with a history"
    return f"{name} serves {here.root}{pinned}"
