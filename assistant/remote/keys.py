"""The server's key: from the environment or the system's keyring, and nowhere else.

Never from a file of ours, a workspace or a command line, and never in a message.
"""

import importlib
import os
from collections.abc import Mapping

from assistant.remote.errors import WithheldError
from assistant.remote.settings import RemoteSettings

MAX_KEY_CHARS = 4_096


def key_of(settings: RemoteSettings, environ: Mapping[str, str] | None = None) -> str:
    """Return the key, empty if the settings name none; WithheldError says what is missing."""
    environ = os.environ if environ is None else environ
    if settings.key_env:
        key = environ.get(settings.key_env, "").strip()
        if not key:
            raise WithheldError(f"environment variable {settings.key_env} (key_env) is not set")
    elif settings.key_keyring:
        key = _from_keyring(settings.key_keyring)
    else:
        return ""
    if len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise WithheldError("the key has characters that no key has; set it again")
    return key


def _from_keyring(name: str) -> str:
    service, slash, user = name.rpartition("/")
    if not (service and slash and user):
        raise WithheldError(f"key_keyring must be SERVICE/USER, got {name!r}")
    try:
        keyring = importlib.import_module("keyring")  # an extra: most keys are in the environment
    except ImportError:
        raise WithheldError("key_keyring needs: pip install 'foretype[keyring]'") from None
    try:
        key = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001  each backend has its own, with who knows what text
        raise WithheldError(f"the keyring cannot be read ({type(error).__name__})") from None
    if not key:
        raise WithheldError(f"the keyring has no entry {name!r}: keyring set {service} {user}")
    return str(key).strip()
