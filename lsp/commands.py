"""The server's commands about models, so that an editor needs no terminal to choose one.

Both may run git and read files, so they work on another thread than the event loop's. Answers are
plain values; what goes wrong is a sentence in `message`. Knows the registry's desk, no document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsp.document_paths import local_path


def argument(arguments: tuple[object, ...], name: str) -> str:
    """Return what a command is given by name, or as its only argument; "" if that is no text."""
    first = arguments[0] if arguments else None
    value = first.get(name) if isinstance(first, dict) else first
    return value if isinstance(value, str) else ""


def folder_named(arguments: tuple[object, ...], roots: list[str]) -> Path | None:
    """Return the folder of the `uri` in a command's arguments, else the first of the workspace."""
    place = local_path(argument(arguments, "uri"))
    if place is not None:
        return place if place.is_dir() else place.parent
    folders = [path for root in roots if (path := local_path(root)) is not None]
    return folders[0] if folders else None


def list_models(explicit: str, folder: Path | None) -> dict[str, Any]:
    """Answer `foretype.models`: what there is, and what serves in `folder`'s repository."""
    from assistant.models.registry import ModelsError, Registry
    from assistant.models.selection import describe_models, find_place

    place, message = None, ""
    try:
        place = find_place(folder) if folder is not None else None
    except ModelsError as error:
        message = str(error)
    try:
        return {**describe_models(Registry(), place, explicit=explicit), "message": message}
    except ModelsError as error:
        return {"models": [], "message": str(error)}


def use_model(explicit: str, name: str, folder: Path | None) -> dict[str, Any]:
    """Answer `foretype.useModel`: choose the model called `name` for `folder`'s repository."""
    if not name:
        return _refused('an argument {"name": MODEL} is needed; "base" is the base')
    if explicit:
        return _refused("the setting `model` names a model, and wins; empty it to choose here")
    from assistant.models.registry import ModelsError, Registry
    from assistant.models.selection import choose, find_place

    if folder is None:
        return _refused("open a folder first: a model belongs to a repository")
    try:
        place = find_place(folder)
        choose(Registry(), name, place)
    except ModelsError as error:
        return _refused(str(error))
    message = f"{name} is chosen for {place.root.name}: it serves from the next quiet moment on"
    return {"ok": True, "serving": name, "message": message}


def _refused(message: str) -> dict[str, Any]:
    return {"ok": False, "message": message}
