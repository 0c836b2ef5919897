"""What people and editors ask of the registry: which models there are for a place, and to switch.

Answers are plain values, fit for JSON. Works on files and runs git; has the graph of a model built
before it is chosen. Commands that answer once and end open a file's model here; the server keeps
models on a shelf instead.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from assistant.errors import AssistantError
from assistant.generate.backend import LocalBackend, OpenModel, open_backend, open_from
from assistant.models.registry import Registry
from assistant.models.registry_file import (
    BASE,
    EVERYWHERE,
    ModelEntry,
    ModelsError,
    repository_id,
    repository_root,
)
from assistant.settings import Settings
from model.folder import ModelFolder, ModelFolderError
from model.foreign import load_model
from model.onnx_cache import open_graph
from model.runtime import RuntimeLoadError

SERVED_BITS = 8  # of the graph that servers run


def find_serving_model(registry: Registry, file: Path) -> ModelEntry | None:
    """Return the model chosen for a file's repository, None for the base; asks git only if any is.

    ModelsError if the registry cannot be used.
    """
    if not os.path.lexists(registry.file):
        return None
    book = registry.book()
    root = repository_root(file) if book.served() else None
    if root is None:
        return book.serving(EVERYWHERE)
    try:
        return book.serving(repository_id(root))
    except ModelsError:  # a repository without a history has no model of its own
        return book.serving(EVERYWHERE)


def find_model(text: str) -> Path:
    """Return the place of a model: a folder, a GGUF file, or the name of a listed one."""
    path = Path(text).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        return path
    if text in (registry := Registry()).book().models:
        return registry.check_place(text)
    raise ModelsError(f"{text} is no folder, GGUF file or listed model")


def make_opener_for(file: Path, complain: Callable[[str], None]) -> OpenModel:
    """Return what opens the model for `file`; what is wrong with its own one costs only that."""

    def open_model(settings: Settings, language: str) -> LocalBackend:
        if settings.model:  # the user's word wins
            return open_from(settings)
        registry = Registry()
        try:
            entry = find_serving_model(registry, file)
            if entry is not None:
                folder = str(registry.check_place(entry.name))
                own = open_backend(folder, label=entry.name, **settings.run_options)
                if own.info.serves(language):
                    return own
        except AssistantError as error:
            complain(f"the base model answers: {error}")
        return open_from(settings, language)

    return open_model


class RepositoryPlace(NamedTuple):
    """The repository that is asked about, or all of them."""

    root: Path
    repository: str


ALL = RepositoryPlace(root=Path("all other repositories"), repository=EVERYWHERE)


def find_place(folder: Path) -> RepositoryPlace:
    """Return the repository around a file or folder; ModelsError if there is none."""
    root = repository_root(folder)
    if root is None:
        raise ModelsError(f"{folder} is in no git repository, which a model could belong to")
    return RepositoryPlace(root=root, repository=repository_id(root))


def describe_models(
    registry: Registry, place: RepositoryPlace | None, *, explicit: str = ""
) -> dict[str, Any]:
    """Return what there is: all models, and what serves in `place`."""
    book = registry.book()
    serving = book.served()
    repository, root = (place.repository, str(place.root)) if place else (EVERYWHERE, "")
    return {
        "folder": str(registry.folder),
        "repository": repository,
        "root": root,
        "everywhere": book.serving_name(EVERYWHERE),
        "serving": book.serving_name(repository),
        "pinned": place is not None and book.choice(repository).is_pinned,
        "settings_model": explicit,  # not empty: the user's settings name a model, which wins
        "models": [
            dataclasses.asdict(entry)
            | {
                "in_use": entry.name in {used.name for used in serving.values()},
                "fits": entry.serves(repository),
            }
            for entry in book.models.values()
        ],
    }


def choose(registry: Registry, name: str, place: RepositoryPlace) -> None:
    """Serve a model in `place`, once it is known that it can be."""
    if name != BASE:
        entry = registry.book().models.get(name)
        if entry is not None and entry.serves(place.repository):
            prepare(registry, entry)
    registry.use(name, place.repository)


def prepare(registry: Registry, entry: ModelEntry) -> None:
    """Check a model folder, and have built what a server needs to load it in a moment."""
    try:
        folder = load_model(registry.check_place(entry.name))
        folder.tokenizer()
        if isinstance(folder, ModelFolder):
            open_graph(folder, SERVED_BITS)
    except (ModelFolderError, RuntimeLoadError) as error:
        raise ModelsError(str(error)) from error
    except OSError as error:
        raise ModelsError(f"cannot read the model {entry.name}: {error}") from error
    if folder.content_hash != entry.content_hash:
        raise ModelsError(f"{folder.path} is not the model that was listed; remove it")
