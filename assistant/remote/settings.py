"""The user's own `remote.toml`: which server may be sent code, how much of it, with which key.

It lies beside settings.toml and is the only place that turns the remote on: no workspace, editor
option, environment variable or command line can name a server. `send_code_to` is the consent: it
must repeat the server's host, so a changed address needs a new yes. The key itself comes from the
environment or the system's keyring, never from a file of ours, and is in no message.
"""

import dataclasses
import importlib.util
import ipaddress
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assistant.errors import SettingsError
from assistant.remote.errors import withheld
from assistant.remote.formats import FORMATS, TEMPLATES
from model.config import ConfigError, from_table
from model.files import UnreadableFileError, read_regular
from model.paths import config_folder

MAX_FILE_BYTES = 1 << 20
MAX_KEY_CHARS = 4_096
_NEEDED = ("httpx2", "h2")  # what the extra `remote` installs
_KEYS = ("key", "api_key", "token", "password")
_CHOICES = {
    "mode": ("off", "fallback", "race", "only"),
    "late": ("keep", "drop"),
    "logprobs": ("auto", "always", "never"),
}

_RANGES: dict[str, tuple[float, float]] = {
    "min_confidence": (0, 1),
    "trust": (0.05, 0.95),
    "wait_ms": (0, 60_000),
    "requests_per_minute": (1, 600),
    "bytes_per_day": (1, 1 << 40),
    "money_per_day": (0, 1e6),
    "price_in": (0, 1e6),
    "price_out": (0, 1e6),
    "prefix_chars": (1, 100_000),
    "suffix_chars": (0, 100_000),
    "max_new_tokens": (1, 1_024),
    "connect_s": (0.05, 60),
    "read_s": (0.05, 120),
    "total_s": (0.1, 300),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RemoteSettings:
    """What a user may say about a remote server; the defaults send nothing."""

    mode: str = "off"  # fallback: when the local answer is unsure; race: both; only: no local one
    provider: str = ""  # the wire format
    url: str = ""  # base address; empty: the provider's usual one
    model: str = ""
    send_code_to: str = ""  # the consent: the host of `url`, typed once more
    template: str = ""  # a model's own markers, for servers that take no suffix
    key_env: str = ""  # environment variable that holds the key
    key_keyring: str = ""  # SERVICE/USER in the system's keyring
    allow: tuple[str, ...] = ()  # path patterns; empty: every file that is not excluded
    deny: tuple[str, ...] = ()  # path patterns never sent, besides those never completed
    languages: tuple[str, ...] = ()  # empty: all
    min_confidence: float = 0.5  # a local answer that is likelier right than this is enough
    wait_ms: int = 60_000  # for a remote answer, where no local one is shown; see deadline_ms
    logprobs: str = "auto"  # whether to ask how sure the server is: auto, always or never
    trust: float = 0.5  # how often the server's line is right, if it does not say how sure it is
    late: str = "keep"  # an answer that came too late waits for the next keystroke; or "drop"
    requests_per_minute: int = 30
    bytes_per_day: int = 20_000_000
    money_per_day: float = 0.0  # 0: no limit; in the currency of the prices
    price_in: float = 0.0  # for a million tokens read
    price_out: float = 0.0  # for a million tokens written
    prefix_chars: int = 4_000  # of the text before the cursor, at most
    suffix_chars: int = 1_500  # and after it
    max_new_tokens: int = 128
    connect_s: float = 2.0
    read_s: float = 5.0  # longest silence
    total_s: float = 10.0  # from sending to the last byte
    proxy: str = ""  # empty: HTTPS_PROXY and its like, except for this machine
    ca_file: str = ""  # PEM certificates to trust instead of the system's

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} must be in {low:g}..{high:g}, got {value}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} must be one of {', '.join(known)}")
        if self.mode != "off":
            _check_provider(self)
            _check_address(self)

    @property
    def address(self) -> str:
        """The base address, without a slash at its end."""
        return (self.url or FORMATS[self.provider].url).rstrip("/") if self.provider else ""

    @property
    def host(self) -> str:
        """The host that would be sent code, as `send_code_to` must name it."""
        return urlsplit(self.address).hostname or ""

    @property
    def is_consented(self) -> bool:
        """Whether the user has repeated the host that gets their code."""
        return bool(self.host) and self.send_code_to.strip().lower() == self.host

    @property
    def asks_logprobs(self) -> bool:
        """Whether the server is asked how sure it is."""
        does_give = FORMATS[self.provider].logprobs == "yes"
        return self.logprobs == "always" or (self.logprobs == "auto" and does_give)


def is_loopback(host: str) -> bool:
    """Say whether `host` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_provider(settings: RemoteSettings) -> None:
    name, known = settings.provider, ", ".join(sorted(TEMPLATES))
    if name not in FORMATS:
        raise SettingsError(f"provider must be one of {', '.join(FORMATS)}, got {name!r}")
    takes = FORMATS[name]
    wrong = {
        f"template must be one of {known}": settings.template not in ("", *TEMPLATES),
        f"provider {name} takes a suffix and needs no template": (
            settings.template and takes.template == "no"
        ),
        f"provider {name} takes no suffix: set template to one of {known}": (
            takes.template == "must" and not settings.template
        ),
        f"provider {name} does not say how sure it is": (
            settings.logprobs == "always" and takes.logprobs == "no"
        ),
        f"provider {name} needs `model`": not settings.model and name != "llamacpp",
        "money_per_day needs price_in and price_out (for a million tokens)": (
            settings.money_per_day and not (settings.price_in or settings.price_out)
        ),
        "set one of key_env and key_keyring, not both": settings.key_env and settings.key_keyring,
    }
    _raise_first(wrong)


def _check_address(settings: RemoteSettings) -> None:
    try:
        parts = urlsplit(settings.address)
        has_port = parts.port is None or parts.port > 0
    except ValueError as error:
        raise SettingsError(f"url is not an address: {error}") from None
    shown = settings.address.rpartition("@")[2]  # never a password in a message
    is_web = parts.scheme in ("http", "https") and parts.hostname and has_port
    has_more = parts.username is not None or parts.password is not None
    wrong = {
        f"url must be http(s)://HOST[:PORT][/PATH], got {shown!r}": not is_web,
        "url must hold no user, password, query or fragment; use key_env": (
            has_more or parts.query or parts.fragment
        ),
        "url must be https:// unless the server runs on this machine": (
            parts.scheme == "http" and not is_loopback(settings.host)
        ),
    }
    _raise_first(wrong)


def _raise_first(wrong: Mapping[str, object]) -> None:
    for message, is_so in wrong.items():
        if is_so:
            raise SettingsError(message)


def find_missing() -> str:
    """Return what must be installed before a server can be asked, and how; empty if nothing."""
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            command = f"{sys.executable} -m pip install 'foretype[remote]'"
            return f"the remote server needs {name}: {command}"
    return ""


def remote_settings_path() -> Path:
    """Return where remote.toml is looked for; it need not exist."""
    return config_folder() / "remote.toml"


def load_remote_settings() -> RemoteSettings:
    """Read remote.toml; SettingsError names the file and the key."""
    path = remote_settings_path()
    try:
        text = read_regular(path, MAX_FILE_BYTES).decode("utf-8")
        return remote_settings_from(tomllib.loads(text))
    except UnreadableFileError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return RemoteSettings()
        raise SettingsError(str(error)) from error
    except ValueError as error:  # not UTF-8, not TOML, or a SettingsError
        raise SettingsError(f"{path}: {error}") from error


def remote_settings_from(table: Mapping[str, Any]) -> RemoteSettings:
    """Return the settings of a table; SettingsError names the wrong key."""
    for name in _KEYS:
        if name in table:
            raise SettingsError(f"{name}: keys are not kept in files; use key_env or key_keyring")
    try:
        return from_table(RemoteSettings, table)
    except ConfigError as error:
        raise SettingsError(str(error)) from error


def key_of(settings: RemoteSettings, environ: Mapping[str, str] | None = None) -> str:
    """Return the key, empty if the settings name none; RemoteError says what is missing."""
    environ = os.environ if environ is None else environ
    if settings.key_env:
        key = environ.get(settings.key_env, "").strip()
        if not key:
            raise withheld(f"environment variable {settings.key_env} (key_env) is not set")
    elif settings.key_keyring:
        key = _from_keyring(settings.key_keyring)
    else:
        return ""
    if len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise withheld("the key has characters that no key has; set it again")
    return key


def _from_keyring(name: str) -> str:
    service, slash, user = name.rpartition("/")
    if not (service and slash and user):
        raise withheld(f"key_keyring must be SERVICE/USER, got {name!r}")
    try:
        keyring = importlib.import_module("keyring")  # an extra: most keys are in the environment
    except ImportError:
        raise withheld("key_keyring needs: pip install 'foretype[keyring]'") from None
    try:
        key = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001  each backend has its own, with who knows what text
        raise withheld(f"the keyring cannot be read ({type(error).__name__})") from None
    if not key:
        raise withheld(f"the keyring has no entry {name!r}: keyring set {service} {user}")
    return str(key).strip()
