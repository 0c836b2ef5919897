"""The settings in force, as a client may set them: one at a time, with the wrong ones named.

initializationOptions are the user's own. A configuration that is pushed later may come from the
workspace, that is from whoever wrote the repository, so it can only restrict and names no files.
A wrong setting is left at what it was, and the user is told once. Where it may have been one that
keeps files back, no file is indexed or sent.
"""

from collections.abc import Callable, Mapping
from typing import Any

from assistant.errors import SettingsError
from assistant.settings import (
    Origin,
    Settings,
    hold_back,
    load_settings,
    replace_old_names,
    settings_from,
    usable_settings,
)

SECTION = "foretype"
TOKEN_OPTION = "token"  # noqa: S105  a name; of initializationOptions over TCP, no setting

_GUARDS = ("exclude", "allow_remote")  # what a wrong one should have kept back is not known
_HELD_BACK = "; until that is mended no file is indexed, and nothing is sent to a server"

Warn = Callable[[str, str], None]  # kind (each is shown once), text


class ClientSettings:
    """What the user set, and on top of it what the workspace restricts."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._user = Settings()
        self.current = self._user

    def initialize(self, options: object) -> None:
        """Read the user's settings file and the client's initializationOptions."""
        own: Settings | None = None
        try:
            own = load_settings()
        except SettingsError as error:
            self._warn("settings", f"{error}{_HELD_BACK}")
        user = self._apply(section_of(options), "user", own or usable_settings())
        self._user = self.current = hold_back(user) if own is None else user

    def change(self, configuration: object) -> None:
        """Read our section of a pushed configuration; it replaces an earlier one's restrictions."""
        nested = configuration if isinstance(configuration, Mapping) else {}
        section = section_of({SECTION: nested.get(SECTION)})  # beside it are other programs' own
        self.current = self._apply(section, "workspace", self._user)

    def _apply(self, table: Mapping[str, Any], origin: Origin, base: Settings) -> Settings:
        settings, is_held = base, False
        table = replace_old_names(table, lambda old, line: self._warn(f"setting {old}", line))
        for name, value in table.items():
            if name == TOKEN_OPTION and origin == "user":
                continue
            if value is None or value == getattr(base, str(name), None):
                continue  # clients send every setting they know, changed or not
            try:
                settings = settings_from({str(name): value}, origin=origin, base=settings)
            except SettingsError as error:
                is_guard = name in _GUARDS
                is_held = is_held or is_guard
                self._warn(f"setting {str(name)[:40]}", f"{error}{_HELD_BACK * is_guard}")
        return hold_back(settings) if is_held else settings


def section_of(configuration: object) -> Mapping[str, Any]:
    """Return our section of a configuration: under its name, or the whole if it is not nested."""
    if not isinstance(configuration, Mapping):
        return {}
    section = configuration.get(SECTION, configuration)
    return section if isinstance(section, Mapping) else {}
