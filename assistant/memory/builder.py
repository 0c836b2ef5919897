"""Builds an index of given texts."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from assistant.memory.memory import RepositoryMemory
from assistant.memory.online import encoded
from assistant.memory.segment import Content, Entry
from assistant.memory.store import Store


def build_from_texts(folder: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Make `folder` the index of exactly these (path, text); for evaluation.

    The texts are taken as they are: nothing is left out and nothing replaced.
    """
    contents = (
        Content(Entry(path, 0, 0, hashlib.blake2b(data, digest_size=8).hexdigest()), data)
        for path, text in texts
        for data in [encoded(text)]
    )
    with Store(folder, timeout_s=60.0) as store:
        store.clear()
        store.add(contents, "repo")
        store.commit(is_complete=True)


def open_memory(folder: Path) -> RepositoryMemory:
    """Open the index in `folder`; empty if there is none."""
    return RepositoryMemory(folder)
