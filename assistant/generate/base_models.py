"""The models for all documents: what the settings name, else the bundled ones by language.

Each is loaded once. After the first one, others are loaded in the background when a document of
their languages is asked about.
"""

import threading
from collections.abc import Callable

from assistant.errors import ModelError
from assistant.generate.backend import LocalBackend, open_backend
from assistant.settings import Settings
from assistant.source.languages import PYTHON
from model.folder import bundled_for

OpenModel = Callable[[Settings, str], LocalBackend]  # for documents in a language


def open_from(settings: Settings, language: str = PYTHON.name) -> LocalBackend:
    """Open the model that `settings` name, else the bundled one for a language.

    ModelError says what to mend.
    """
    folder = settings.model or str(bundled_for(language))
    return open_backend(folder, **settings.run_options)


class BaseModels:
    """Holds them for one engine, whose settings decide; any thread may ask."""

    def __init__(self, open_model: OpenModel) -> None:
        self._open_model = open_model
        self._backends: dict[str, LocalBackend] = {}  # by folder; "": for all languages
        self._tried: set[str] = set()  # folders that are loaded, being loaded, or cannot be
        self._lock = threading.Lock()
        self._loading: threading.Thread | None = None
        self._fault: ModelError | None = None  # of the background

    @property
    def labels(self) -> list[str]:
        """What people call those that are loaded."""
        return [backend.label for backend in self._backends.values()]

    def load(self, settings: Settings, language: str) -> None:
        """Load the model for a language, blocking, unless it is; ModelError says what to mend."""
        place = _place(settings, language)
        self._tried.add(place)
        with self._lock:
            if place not in self._backends:
                self._backends[place] = self._open_model(settings, language)

    def loaded(self, settings: Settings, language: str) -> LocalBackend | None:
        """Return the model for a language, if it is loaded."""
        return self._backends.get(_place(settings, language))

    def find(self, settings: Settings, language: str) -> LocalBackend | None:
        """Return the model for a language; None where it is not there yet, or cannot be loaded.

        Raises once the ModelError of a load in the background.
        """
        if (fault := self._fault) is not None:
            self._fault = None
            raise fault
        place = _place(settings, language)
        if self._backends and place not in self._tried:
            self._tried.add(place)
            self._loading = threading.Thread(
                target=self._load_aside, args=(settings, language), name="model-load", daemon=True
            )
            self._loading.start()
        return self.loaded(settings, language)

    def close(self, timeout_s: float) -> None:
        """Wait for the background at most so long."""
        if self._loading is not None:
            self._loading.join(timeout_s)

    def _load_aside(self, settings: Settings, language: str) -> None:
        try:
            self.load(settings, language)
        except ModelError as error:
            self._fault = error


def _place(settings: Settings, language: str) -> str:
    return "" if settings.model else str(bundled_for(language))
