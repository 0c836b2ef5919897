"""Which of the user's own models answers for which document, exchanged while the server runs.

One small thread looks at the registry's file now and then, learns which repository a folder belongs
to, and loads what is wanted when nobody is typing; a keystroke costs a look into two tables, and
nothing at all for who has no model of their own. Until a model is there, the base answers. Knows
folders and names; nothing of requests but when the last one came. The server's commands about
models run git and read files, so they work on another thread than the event loop's; what goes wrong
is a sentence in `message`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp.document_paths import local_path
from lsp.scheduler import describe

if TYPE_CHECKING:
    from assistant.generate.backend import LocalBackend
    from assistant.models.loaded_models import LoadedModels, OpenModel
    from assistant.models.registry import Registry
    from assistant.models.registry_file import ModelEntry


POLL_S = 2.0  # between looks at the registry's file
IDLE_S = 1.0  # without a request before a model is loaded
PATIENCE_S = 30.0  # after so long it is loaded all the same
MAX_FOLDERS = 4_096  # whose repositories are remembered
_HURRY_S = 0.1  # between looks while something waits for an idle moment

log = logging.getLogger(__name__)

Warn = Callable[[str, str], None]  # kind (each is told once), text


class WorkspaceModels:
    """The choice of models of one client."""

    def __init__(self, warn: Warn, *, open_model: OpenModel | None = None) -> None:
        self._warn = warn
        self._open_model = open_model
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread: threading.Thread | None = None
        self._asked_s = 0.0  # when anything was last asked
        self._waits_since: float | None = None  # for an idle moment
        self._is_untidy = False  # something was let go, and is still in memory
        self._roots: tuple[Path, ...] = ()
        self._registry: Registry | None = None
        self._shelf: LoadedModels | None = None
        self._stamp: tuple[int, int, int] | None = None
        # By repository, "" where nothing was chosen; None: the base.
        self._choices: Mapping[str, ModelEntry | None] = {}
        self._has_models = False
        self._ids: dict[Path, str] = {}  # of work trees; "": none
        self._repositories: dict[str, str] = {}  # of folders; "": none
        self._unknown: set[str] = set()  # folders to be looked up
        self._asked_of: dict[str, float] = {}  # when a repository was last asked about

    # --- on the event loop

    def set_roots(self, uris: Iterable[str]) -> None:
        """Have the models of these workspace folders ready before they are asked for."""
        self._roots = tuple(path for uri in uris if (path := local_path(uri)) is not None)
        self._wake.set()

    def asked(self) -> None:
        """Take note that somebody is typing."""
        self._asked_s = time.monotonic()

    def look(self) -> None:
        """Look at the registry now."""
        self._wake.set()

    def stop(self, timeout_s: float = 0.0) -> None:
        """Look no more, and wait at most so long for the thread."""
        self._is_stopped = True
        self._wake.set()
        if self._thread is not None and timeout_s:
            self._thread.join(timeout_s)

    def status(self) -> dict[str, Any]:
        """Return what is loaded beside the base, and what each workspace folder has."""
        return {
            "loaded": self._shelf.labels if self._shelf is not None else [],
            "folders": [
                {"folder": root.name, "model": self.label_of(root)} for root in self._roots
            ],
        }

    def label_of(self, folder: Path) -> str:
        """Return the model that serves documents in a folder; "": the base."""
        repository = self._repositories.get(str(folder), "")
        backend = self._shelf.backend_for(repository) if self._shelf is not None else None
        return backend.label if backend is not None else ""

    # --- on the engine's thread

    def backend_of(self, uri: str) -> LocalBackend | None:
        """Return the model of a document's repository; None: the base."""
        if not self._has_models or self._shelf is None or (place := local_path(uri)) is None:
            return None
        folder = os.path.dirname(place)  # noqa: PTH120 - at each keystroke
        repository = self._repositories.get(folder)
        if repository is None:
            if folder not in self._unknown:
                self._unknown.add(folder)
                self._wake.set()
            return None
        if self._choice(repository) is None:
            return None
        self._asked_of[repository] = time.monotonic()
        return self._shelf.backend_for(repository)

    # --- on a thread of its own

    def start(self, **run_options: Any) -> None:
        """Begin to look; models are run as the options for `open_runtime` say."""
        from assistant.generate.backend import open_backend
        from assistant.models.loaded_models import LoadedModels
        from assistant.models.registry import Registry

        def open_model(path: Path, label: str) -> LocalBackend:
            return open_backend(str(path), label=label, **run_options)

        self._registry = Registry()
        self._shelf = LoadedModels(self._registry, self._open_model or open_model)
        thread = threading.Thread(target=self._run, name="models", daemon=True)
        thread.start()
        self._thread = thread  # only now: who stops may be another thread, and joins it

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self._step()
            except Exception as error:  # noqa: BLE001  what serves goes on serving
                log.warning("models: %s", describe(error))
            self._wake.wait(POLL_S if self._waits_since is None else _HURRY_S)
            self._wake.clear()

    def _step(self) -> None:
        """Bring what is served in line with what is chosen, if this is the moment."""
        assert self._registry is not None and self._shelf is not None
        stamp = self._registry.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._read(self._registry, self._shelf)
        if self._has_models:
            self._look_up()
        wanted = self._wanted()
        if self._shelf.is_served(wanted):
            self._waits_since = None
            self._tidy()
        elif self._is_time():
            self._waits_since = None
            self._is_untidy = True
            for name, message in self._shelf.bring(wanted).items():
                self._warn(f"model {name}", f"the model {name} cannot be served: {message}")

    def _tidy(self) -> None:
        """Free models that were let go: drafts not read to their end hold them in cycles."""
        if self._is_untidy and time.monotonic() - self._asked_s >= IDLE_S:
            self._is_untidy = False
            from assistant.models.loaded_models import free_memory

            free_memory()

    def _is_time(self) -> bool:
        now_s = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now_s
        is_idle = now_s - self._asked_s >= IDLE_S
        return is_idle or now_s - self._waits_since >= PATIENCE_S

    def _read(self, registry: Registry, shelf: LoadedModels) -> None:
        from assistant.models.registry_file import ModelsError

        try:
            book = registry.book()
            self._choices = {key: book.serving(key) for key in book.choices}
        except ModelsError as error:
            self._choices = {}
            self._warn("registry", str(error))
        self._has_models = any(self._choices.values())
        shelf.forgive()
        # What had no repository may have one by now.
        self._ids = {root: found for root, found in self._ids.items() if found}
        self._repositories = {
            folder: found for folder, found in self._repositories.items() if found
        }

    def _look_up(self) -> None:
        """Learn which repositories folders belong to; this may run git."""
        if len(self._repositories) > MAX_FOLDERS:
            self._repositories = {}
        for folder in {*self._unknown.copy(), *map(str, self._roots)} - self._repositories.keys():
            self._repositories[folder] = self._repository_of(Path(folder))
            self._unknown.discard(folder)

    def _repository_of(self, folder: Path) -> str:
        from assistant.models.registry import ModelsError
        from assistant.models.registry_file import repository_id, repository_root

        root = repository_root(folder)
        if root is None:
            return ""
        if root not in self._ids:
            try:
                self._ids[root] = repository_id(root)
            except ModelsError:
                log.info("models: a folder has no history to tell its repository by")
                self._ids[root] = ""
        return self._ids[root]

    def _wanted(self) -> dict[str, ModelEntry]:
        """Return the models to serve: where one was asked last, then of the workspace's folders."""
        asked = dict(self._asked_of)
        recent = sorted(asked, key=lambda repository: -asked[repository])
        present = (self._repositories.get(str(root), "") for root in self._roots)
        found = {key: self._choice(key) for key in dict.fromkeys((*recent, *present))}
        return {key: entry for key, entry in found.items() if entry is not None}

    def _choice(self, repository: str) -> ModelEntry | None:
        return self._choices.get(repository, self._choices.get(""))


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
