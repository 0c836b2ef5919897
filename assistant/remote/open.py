"""Opens the remote side that remote.toml asks for; imports nothing of it where it asks for none."""

import importlib.util
import sys
from typing import TYPE_CHECKING

from assistant.remote.settings import load_remote_settings

if TYPE_CHECKING:
    from assistant.remote.file_policy import Locate
    from assistant.remote.policy import Remote

_NEEDED = ("httpx2", "h2")  # what the extra `remote` installs


def open_configured(locate: "Locate", *, exclude: tuple[str, ...] = ()) -> "Remote | None":
    """Return the remote side, None if it is off; SettingsError says what is wrong.

    `locate` finds the file of a request's document, None for what is no file.
    """
    settings = load_remote_settings()
    if settings.mode == "off":
        return None
    from assistant.remote.policy import Remote

    return Remote(settings, locate, exclude=exclude, missing=find_missing())


def find_missing() -> str:
    """Return what must be installed before a server can be asked, and how; empty if nothing."""
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            command = f"{sys.executable} -m pip install 'foretype[remote]'"
            return f"the remote server needs {name}: {command}"
    return ""
