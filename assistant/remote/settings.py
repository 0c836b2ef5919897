"""The user's own `remote.toml`: which server may be sent code, how much of it, with which key.

It lies beside settings.toml and is the only place that turns the remote on: no workspace, editor
option, environment variable or command line can name a server. `send_code_to` is the consent: it
must repeat the server's host, so a changed address needs a new yes. The key itself comes from the
environment or the system's keyring, never from a file of ours, and is in no message.
"""

import importlib.util
import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assistant.errors import SettingsError, withheld
from assistant.remote.formats import FORMATS, TEMPLATES
from assistant.settings import find_mistakes, limited, read_settings
from assistant.source.languages import LANGUAGES
from model.config import from_table
from model.extras import how_to_add
from model.paths import config_folder

if TYPE_CHECKING:
    from assistant.remote.payload import Locate
    from assistant.remote.policy import Remote

_REFUSED = {  # what the file may not have, and why
    "key api_key token password": "keys are not kept in files; use key_env or key_keyring",
    "money_per_day price_in price_out": "is gone: bytes_per_day limits what is sent",
    "late": "is gone: an answer that is too late is kept for the next keystroke",
    "wait_ms": "is gone: `deadline_ms` of the settings says how long a server is waited for",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteSettings:
    """What a user may say about a remote server; the defaults send nothing."""

    # fallback: when the local answer is unsure; race: both; only: no local one
    mode: str = limited("off", known=("off", "fallback", "race", "only"))
    provider: str = ""  # the wire format
    url: str = ""  # base address; empty: the provider's usual one
    model: str = ""
    send_code_to: str = ""  # the consent: the host of `url`, typed once more
    template: str = limited("", known=("", *sorted(TEMPLATES)))  # for servers that take no suffix
    key_env: str = ""  # environment variable that holds the key
    key_keyring: str = ""  # SERVICE/USER in the system's keyring
    allow: tuple[str, ...] = limited((), patterns=True)  # empty: every file not excluded
    deny: tuple[str, ...] = limited((), patterns=True)  # besides those never completed
    languages: tuple[str, ...] = limited((), known=LANGUAGES)  # empty: all
    min_confidence: float = limited(0.5, range=(0, 1))  # from here a local answer is enough
    # whether the server is asked how sure it is, and how often one that does not say it is right
    logprobs: str = limited("auto", known=("auto", "always", "never"))
    trust: float = limited(0.5, range=(0.05, 0.95))
    requests_per_minute: int = limited(30, range=(1, 600))
    bytes_per_day: int = limited(20_000_000, range=(1, 1 << 40))
    prefix_chars: int = limited(4_000, range=(1, 100_000))  # of the text before the cursor, at most
    suffix_chars: int = limited(1_500, range=(0, 100_000))  # and after it
    max_new_tokens: int = limited(128, range=(1, 1_024))
    connect_s: float = limited(2.0, range=(0.05, 60))
    read_s: float = limited(5.0, range=(0.05, 120))  # longest silence
    total_s: float = limited(10.0, range=(0.1, 300))  # from sending to the last byte
    proxy: str = ""  # empty: HTTPS_PROXY and its like, except for this machine
    ca_file: str = ""  # PEM certificates to trust instead of the system's

    def __post_init__(self) -> None:
        if mistake := next(_find_mistakes(self), ""):
            raise SettingsError(mistake)

    @property
    def address(self) -> str:
        """The base address, without a slash at its end, nor the `/v1` that the format adds.

        Servers, `foretype serve` too, say where they are with it or without.
        """
        if not self.provider:
            return ""
        known = FORMATS[self.provider]
        address = (self.url or known.url).rstrip("/")
        return address.removesuffix("/v1") if known.path.startswith("/v1/") else address

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


def _find_mistakes(settings: RemoteSettings) -> Iterator[str]:
    """Yield what is wrong; of the server only if one is to be asked.

    A pattern that can match nothing would send what was to stay, or let nothing be sent at all.
    """
    yield from find_mistakes(settings)
    if settings.mode == "off":
        return
    name, takes = settings.provider, FORMATS.get(settings.provider)
    if takes is None:
        yield f"provider must be one of {', '.join(FORMATS)}, got {name!r}"
        return
    if settings.template and takes.template == "no":
        yield f"provider {name} takes a suffix and needs no template"
    if takes.template == "must" and not settings.template:
        yield f"provider {name} takes no suffix: set template to one of {', '.join(TEMPLATES)}"
    if settings.logprobs == "always" and takes.logprobs == "no":
        yield f"provider {name} does not say how sure it is"
    if not settings.model and name != "llamacpp":
        yield f"provider {name} needs `model`"
    if settings.key_env and settings.key_keyring:
        yield "set one of key_env and key_keyring, not both"
    if settings.proxy and (mistake := find_mistake_of_address(complete_proxy(settings.proxy))):
        yield f"proxy {mistake}"
    yield from _find_mistakes_of_url(settings.address)


def complete_proxy(address: str) -> str:
    """Return a proxy's address with its scheme, which many leave out."""
    return address if "://" in address else f"http://{address}"


def find_mistake_of_address(address: str) -> str:
    """Return what is wrong with the address of a server or a proxy, "" if nothing."""
    try:
        parts = urlsplit(address)
        is_web = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # whose text may hold a password
        return "is not an address: its host or its port is none"
    if is_web and address.isprintable() and " " not in address:
        return ""
    shown = address.rpartition("@")[2]  # never a password in a message
    return f"must be http(s)://HOST[:PORT][/PATH], got {shown!r}"


def _find_mistakes_of_url(address: str) -> Iterator[str]:
    if mistake := find_mistake_of_address(address):
        yield f"url {mistake}"
        return
    parts = urlsplit(address)
    if "@" in parts.netloc or parts.query or parts.fragment:
        yield "url must hold no user, password, query or fragment; use key_env"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield "url must be https:// unless the server runs on this machine"


def find_missing() -> str:
    """Return what must be installed before a server can be asked, and how; empty if nothing."""
    if importlib.util.find_spec("httpx2") is not None:
        return ""
    return f"the remote server needs httpx2: {how_to_add('remote')}"


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


def remote_settings_path() -> Path:
    """Return where remote.toml is looked for; it need not exist."""
    return config_folder() / "remote.toml"


def load_remote_settings() -> RemoteSettings:
    """Read remote.toml; SettingsError names the file and the key."""
    return read_settings(remote_settings_path(), remote_settings_from)


def remote_settings_from(table: Mapping[str, Any]) -> RemoteSettings:
    """Return the settings of a table; ConfigError names the wrong key."""
    for names, why in _REFUSED.items():
        if refused := sorted(table.keys() & names.split()):
            raise SettingsError(f"{refused[0]}: {why}")
    return from_table(RemoteSettings, table)


def read_key(settings: RemoteSettings, environ: Mapping[str, str] | None = None) -> str:
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
    if len(key) > 4_096 or not key.isascii() or not key.isprintable() or " " in key:
        raise withheld("the key has characters that no key has; set it again")
    return key


def _from_keyring(name: str) -> str:
    service, slash, user = name.rpartition("/")
    if not (service and slash and user):
        raise withheld(f"key_keyring must be SERVICE/USER, got {name!r}")
    try:
        keyring = importlib.import_module("keyring")  # an extra: most keys are in the environment
    except ImportError:
        raise withheld(f"key_keyring needs: {how_to_add('keyring')}") from None
    try:
        key = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001  each backend has its own, with who knows what text
        raise withheld(f"the keyring cannot be read ({type(error).__name__})") from None
    if not key:
        raise withheld(f"the keyring has no entry {name!r}: keyring set {service} {user}")
    return str(key).strip()
