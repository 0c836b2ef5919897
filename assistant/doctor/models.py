"""Checks of the user's own models: who can read them, whether they are whole, which one serves.

Reads the registry and every listed folder; changes nothing.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from assistant.doctor.finding import CheckResult, ok, warning
from assistant.models import permissions as shelter
from assistant.models.registry import BASE, ModelEntry, ModelsError, Registry
from assistant.models.selection import find_place
from assistant.settings import Settings
from model.folder import ModelFolderError, bundled_folders, load_folder
from model.gguf_model import load_model
from model.runtime import RuntimeLoadError

NAME = "own models"
_UNLISTED = "delete it if you know what it is; nothing serves it"


def models(settings: Settings, place: Path) -> Iterator[CheckResult]:
    """Look at the registry and all that it lists, then say which model serves `place`."""
    registry = Registry()
    if not registry.folder.exists() and not registry.folder.is_symlink():
        yield ok(NAME, "none; `foretype tune` makes one, `foretype models add` takes one")
        return
    if exposed := [*shelter.open_to_others(registry.folder)]:
        found = f"{len(exposed)} files or folders are open to others, {exposed[0]} among them"
        yield warning(NAME, found, f"chmod -R go-rwx {registry.folder}")
    try:
        entries = registry.entries()
    except ModelsError as error:
        yield warning(NAME, str(error), f"mend {registry.file}; the models beside it are not lost")
        return
    yield from _folders(registry, entries)
    yield ok(NAME, f"{len(entries)} listed; {_serving(registry, settings, place)}")


def _folders(registry: Registry, entries: list[ModelEntry]) -> Iterator[CheckResult]:
    known = {*_base_hashes(), *(entry.content_hash for entry in entries)}
    for entry in entries:
        remedy = f"foretype models remove {entry.name} --force, then tune again"
        try:
            folder = load_model(registry.place(entry.name))
            folder.tokenizer()
        except (ModelFolderError, RuntimeLoadError) as error:
            yield warning(NAME, str(error), remedy)
            continue
        if folder.content_hash != entry.content_hash:
            yield warning(NAME, f"{entry.name} is not the model that was listed", remedy)
        elif entry.parent and entry.parent not in known:
            found = f"{entry.name} was tuned from {entry.parent[:12]}, which is not here any more"
            yield warning(NAME, found, "it works as before; tune again to build on the newer base")
    listed = {entry.name for entry in entries}
    for path in sorted(registry.folder.iterdir()):
        if path.is_dir() and path.name not in listed:
            yield warning(NAME, f"{path} is not listed", _UNLISTED)


def _base_hashes() -> Iterator[str]:
    for path in bundled_folders():
        with contextlib.suppress(ModelFolderError):  # which another check says
            yield load_folder(path).content_hash


def _serving(registry: Registry, settings: Settings, place: Path) -> str:
    if settings.model:
        return "the setting `model` wins over them"
    try:
        here = find_place(place)
        entry = registry.find_entry(here.repository)
        pinned = ", pinned" if registry.is_pinned(here.repository) else ""
    except ModelsError:
        return f"{BASE} serves {place.resolve()}, which is in no repository with a history"
    return f"{entry.name if entry else BASE} serves {here.root}{pinned}"
