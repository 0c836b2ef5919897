"""A completion server of the user's choice, asked only when they have said so, byte for byte."""

from typing import TYPE_CHECKING

from assistant.remote.errors import NotInstalledError
from assistant.remote.settings import find_missing, load_remote_settings

if TYPE_CHECKING:
    from assistant.remote.file_policy import Locate
    from assistant.remote.policy import Remote


def open_configured(locate: "Locate", *, exclude: tuple[str, ...] = ()) -> "Remote | None":
    """Return the remote side that remote.toml asks for, None (and nothing imported) if it is off.

    `locate` finds the file of a request's document, None for what is no file. SettingsError says
    what is wrong, or what must be installed.
    """
    settings = load_remote_settings()
    if settings.mode == "off":
        return None
    if missing := find_missing():
        raise NotInstalledError(missing)
    from assistant.remote.policy import Remote

    return Remote(settings, locate, exclude=exclude)
