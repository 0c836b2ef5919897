"""The settings in force, as a client may set them: one at a time, with the wrong ones named.

initializationOptions are the user's own. A configuration that is pushed later may come from the
workspace, that is from whoever wrote the repository, so it can only restrict and names no files.
A wrong setting is left at what it was, and the user is told once.
"""

from collections.abc import Callable, Mapping
from typing import Any

from assistant.errors import SettingsError
from assistant.settings import Origin, Settings, load_settings, replace_old_names, settings_from

SECTION = "foretype"
TOKEN_OPTION = "token"  # noqa: S105  a name; of initializationOptions over TCP, no setting

Warn = Callable[[str, str], None]  # kind (each is shown once), text


class ClientSettings:
    """What the user set, and on top of it what the workspace restricts."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._user = Settings()
        self.current = self._user

    def initialize(self, options: object) -> None:
        """Read the user's settings file and the client's initializationOptions."""
        try:
            self._user = load_settings()
        except SettingsError as error:
            self._warn("settings", str(error))
        self._user = self._apply(section_of(options), "user", self._user)
        self.current = self._user

    def change(self, configuration: object) -> None:
        """Read our section of a pushed configuration; it replaces an earlier one's restrictions."""
        nested = configuration if isinstance(configuration, Mapping) else {}
        section = section_of({SECTION: nested.get(SECTION)})  # beside it are other programs' own
        self.current = self._apply(section, "workspace", self._user)

    def _apply(self, table: Mapping[str, Any], origin: Origin, base: Settings) -> Settings:
        settings = base
        table = replace_old_names(table, lambda old, line: self._warn(f"setting {old}", line))
        for name, value in table.items():
            if name == TOKEN_OPTION and origin == "user":
                continue
            if value is None or value == getattr(base, str(name), None):
                continue  # clients send every setting they know, changed or not
            try:
                settings = settings_from({str(name): value}, origin=origin, base=settings)
            except SettingsError as error:
                self._warn(f"setting {str(name)[:40]}", str(error))
        return settings


def section_of(configuration: object) -> Mapping[str, Any]:
    """Return our section of a configuration: under its name, or the whole if it is not nested."""
    if not isinstance(configuration, Mapping):
        return {}
    section = configuration.get(SECTION, configuration)
    return section if isinstance(section, Mapping) else {}
