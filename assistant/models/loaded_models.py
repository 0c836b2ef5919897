"""The user's own models that are loaded: each once, a few at most, exchanged as a whole.

One thread brings what is wanted; any thread takes what is there. A request that has taken a model
ends on it, and the last such request frees it. Knows no document and no clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import AssistantError, ModelError
from assistant.models.registry_file import ModelEntry
from model.healing import forget_pieces

if TYPE_CHECKING:
    from assistant.generate.backend import LocalBackend
    from assistant.models.registry import Registry

MAX_LOADED = 2  # beside the base: three in all

log = logging.getLogger(__name__)

OpenModel = Callable[[Path, str], "LocalBackend"]  # of a folder and the name for people
_Key = tuple[str, str]  # name and content hash: a name may come back with other weights


def free_memory() -> None:
    """Return what models that were let go have held: to Python, and to the system where it can."""
    forget_pieces()
    gc.collect()  # a draft that was not read to its end holds its model in a cycle
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


class LoadedModels:
    """Holds loaded models by repository."""

    def __init__(self, registry: Registry, open_model: OpenModel) -> None:
        self._registry = registry
        self._open_model = open_model
        self._served: Mapping[str, LocalBackend] = {}  # by repository
        self._refused: set[_Key] = set()
        self._planned: dict[str, _Key] = {}

    @property
    def labels(self) -> list[str]:
        """Names of the models that are loaded."""
        return [*dict.fromkeys(backend.label for backend in self._served.values())]

    def backend_for(self, repository: str) -> LocalBackend | None:
        """Return the model of a repository if it is loaded; None: the base."""
        return self._served.get(repository)

    def forgive(self) -> None:
        """Try again what could not be loaded: something has changed."""
        if self._refused:
            self._refused.clear()
            self._planned = {}

    def is_served(self, wanted: Mapping[str, ModelEntry]) -> bool:
        """Say whether `bring` has nothing to do."""
        return _plan(wanted) == self._planned

    def bring(self, wanted: Mapping[str, ModelEntry]) -> dict[str, str]:
        """Serve these models, the most wanted first, and let go of others; blocking.

        Returns the names of those that cannot be loaded, and why. A repository of theirs keeps what
        it had. While one model is exchanged for another both are in memory.
        """
        plan = _plan(wanted)
        served = {name: model for name, model in self._served.items() if name in plan}
        reused = [model for model in self._served.values() if _key(model) in plan.values()]
        loaded = {_key(model): model for model in (*reused, *served.values())}
        self._served = dict(served)  # others are free before anything more is loaded
        troubles: dict[str, str] = {}
        for repository, key in plan.items():
            backend = loaded.get(key) or self._open(repository, key, troubles)
            if backend is not None:
                served[repository] = loaded[key] = backend
        self._served = served
        here = {repository: _key(model) for repository, model in served.items()}
        self._planned = {
            repository: key
            for repository, key in plan.items()
            if key in self._refused or key == here.get(repository)
        }
        return troubles

    def _open(self, repository: str, key: _Key, troubles: dict[str, str]) -> LocalBackend | None:
        name, content_hash = key
        if key in self._refused:
            return None
        try:
            path = self._registry.find_folder(repository)
            if path is None or path.name != name:
                return None  # changed a moment ago: the next look sees it
            backend = self._open_model(path, name)
            if backend.content_hash != content_hash:
                raise ModelError(f"{path} is not the model that was listed")
        except AssistantError as error:
            self._refused.add(key)
            log.warning("the model %s cannot be served", name)
            troubles[name] = str(error)
            return None
        log.info("serving the model %s", name)
        return backend


def _key(backend: LocalBackend) -> _Key:
    return backend.label, backend.content_hash


def _plan(wanted: Mapping[str, ModelEntry]) -> dict[str, _Key]:
    """Return which model each repository gets; those after the first few models get none."""
    plan: dict[str, _Key] = {}
    for repository, entry in wanted.items():
        key = (entry.name, entry.content_hash)
        if key in plan.values() or len(set(plan.values())) < MAX_LOADED:
            plan[repository] = key
    return plan
