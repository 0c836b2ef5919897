"""Models of one's own for tests: a finished model folder and what the registry is told of it."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.models.registry import ModelEntry, Registry
from model.folder import load_folder

HERE = "ab" * 16  # the id of one repository
ELSEWHERE = "cd" * 16


def entry_of(folder: Path, name: str = "own-20260102-1", **changes: Any) -> ModelEntry:
    """Return an entry for a model folder."""
    entry = ModelEntry(
        name=name,
        repository=HERE,
        root="/home/a/own",
        content_hash=load_folder(folder).content_hash,
        parent="12" * 32,
        data_hash="34" * 32,
        trained_to="56" * 20,
        created="2026-01-02T03:04:05Z",
        kind="full",
        scores={"bits_base": 1.5, "bits_tuned": 1.25},
    )
    return replace(entry, **changes)


def added(
    registry: Registry, folder: Path, name: str = "own-20260102-1", **changes: Any
) -> ModelEntry:
    """Add a copy of a model folder."""
    copy = folder.with_name(f"{folder.name}-to-add-as-{name}")
    shutil.copytree(folder, copy)
    return registry.add(copy, entry_of(folder, name, **changes))
