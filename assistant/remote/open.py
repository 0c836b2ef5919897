"""Opens the remote side that remote.toml asks for; imports nothing of it where it asks for none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistant.errors import SettingsError
from assistant.remote.settings import load_remote_settings

if TYPE_CHECKING:
    from assistant.remote.file_policy import Locate
    from assistant.remote.policy import Remote


def open_configured(locate: Locate, *, exclude: tuple[str, ...] = ()) -> Remote | None:
    """Return the remote side, None if it is off; SettingsError says what is wrong.

    `locate` finds the file of a request's path, None for what is no file.
    """
    settings = load_remote_settings()
    if settings.mode == "off":
        return None
    from assistant.remote.policy import Remote

    try:
        return Remote(settings, locate, exclude=exclude)
    except OSError as error:
        raise SettingsError(f"the egress ledger has no place: {error.strerror}") from error
