"""A completion server of the user's choice, asked only when they have said so, byte for byte."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from assistant.remote.settings import find_missing, load_remote_settings

if TYPE_CHECKING:
    from assistant.remote.payload import Locate
    from assistant.remote.policy import Remote


def open_configured(
    locate: "Locate", warn: Callable[[str], object], *, exclude: tuple[str, ...] = ()
) -> "Remote | None":
    """Return the remote side that remote.toml asks for, None (and nothing imported) if it is off.

    `locate` finds the file of a request's document, None for what is no file; `warn` is told what
    the user must do before anything is sent. SettingsError says what is wrong in remote.toml.
    """
    settings = load_remote_settings()
    if settings.mode == "off":
        return None
    if missing := find_missing():
        warn(missing)
        return None
    from assistant.remote.policy import Remote

    remote = Remote(settings, locate, exclude=exclude)
    if remote.complaint:
        warn(remote.complaint)
    return remote
