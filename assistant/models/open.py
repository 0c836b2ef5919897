"""The model for one file, opened: its repository's own, else the one of the settings.

For commands that answer once and end; the server keeps models on a shelf instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from assistant.errors import AssistantError
from assistant.generate.backend import LocalBackend, OpenModel, open_backend, open_from
from assistant.models.registry import ModelEntry, ModelsError, Registry
from assistant.models.registry_file import EVERYWHERE, repository_id, repository_root
from assistant.settings import Settings


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
    with contextlib.suppress(ModelsError):
        if (listed := Registry().check_place(text)).is_dir():
            return listed
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
