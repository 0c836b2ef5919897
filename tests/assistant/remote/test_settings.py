"""The user's `remote.toml`, and the key that it names."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

from assistant.errors import RemoteError, SettingsError
from assistant.remote.formats import FORMATS
from assistant.remote.settings import (
    RemoteSettings,
    is_loopback,
    load_remote_settings,
    read_key,
    remote_settings_from,
    remote_settings_path,
)
from assistant.settings import Settings, settings_from
from model.config import ConfigError

GOOD = {"mode": "fallback", "provider": "mistral", "model": "codestral-latest"}


def test_nothing_is_sent_by_default() -> None:
    settings = load_remote_settings()
    assert settings == RemoteSettings()
    assert (settings.mode, settings.is_consented) == ("off", False)


def test_consent_is_the_host_typed_again() -> None:
    assert not remote_settings_from(GOOD).is_consented
    for wrong in ("", "yes", "true", "mistral.ai", "https://codestral.mistral.ai"):
        assert not remote_settings_from(GOOD | {"send_code_to": wrong}).is_consented
    assert remote_settings_from(GOOD | {"send_code_to": "Codestral.Mistral.ai "}).is_consented


def test_consent_does_not_outlive_a_change_of_address() -> None:
    table = GOOD | {"send_code_to": "codestral.mistral.ai", "url": "https://evil.example"}
    assert not remote_settings_from(table).is_consented


def test_the_file_is_read(private_home: Path) -> None:
    path = remote_settings_path()
    path.parent.mkdir(parents=True)
    path.write_text('mode = "race"\nprovider = "llamacpp"\nsend_code_to = "127.0.0.1"\n')
    settings = load_remote_settings()
    assert (settings.mode, settings.host, settings.is_consented) == ("race", "127.0.0.1", True)
    assert settings.address == FORMATS["llamacpp"].url


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_an_address_may_end_as_servers_say_it(end: str) -> None:
    """`foretype serve` prints its own with `/v1`, which was asked for `/v1/v1/completions`."""
    url = "https://a.example/models"
    found = remote_settings_from(GOOD | {"url": url + end})
    assert found.address == url
    found = remote_settings_from(GOOD | {"url": url + end, "provider": "deepseek"})
    assert found.address == (url + end).rstrip("/")  # its format adds none


@pytest.mark.parametrize("text", ["mode = ", "mode = 3", "colour = 1", "\xff"])
def test_a_wrong_file_is_named(text: str) -> None:
    path = remote_settings_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"remote\.toml"):
        load_remote_settings()


@pytest.mark.parametrize(
    "line",
    [
        "trust = 1e999",
        "trust = nan",
        "min_confidence = -inf",
        f"trust = {10**400}",
        f"read_s = {10**400}",
        f"requests_per_minute = {10**400}",
        f"requests_per_minute = {'9' * 5_000}",
        f"requests_per_minute = 0x{'f' * 5_000}",
        f"bytes_per_day = -{10**400}",
        "prefix_chars = 1e999",
        f"deny = {'[' * 5_000}{']' * 5_000}",
        f"deny = {'{a = ' * 5_000}1{'}' * 5_000}",
        f"{'a.' * 5_000}a = 1",
        f"send_code_to = {'[' * 100_000}",
        "mode = 1979-05-27",
        "send_code_to = true",
        'send_code_to = "127.0.0.1"\nsend_code_to = "127.0.0.1"',
    ],
    ids=lambda line: line[:24],
)
def test_an_absurd_value_is_one_line_and_sends_nothing(line: str) -> None:
    """2026-11-29: nested values and numbers beyond a float's ended commands with a traceback."""
    path = remote_settings_path()
    path.parent.mkdir(parents=True)
    path.write_text(f'mode = "race"\nprovider = "llamacpp"\n{line}\n')
    with pytest.raises(SettingsError, match=r"remote\.toml") as caught:
        load_remote_settings()
    assert len(str(caught.value)) < 800


def test_a_folder_in_its_place_is_named() -> None:
    remote_settings_path().mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"remote\.toml"):
        load_remote_settings()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "always"}, "mode"),
        ({"late": "drop"}, "late: is gone: .* kept for the next keystroke"),
        ({"wait_ms": 50}, "wait_ms: is gone: `deadline_ms`"),
        ({"provider": "other"}, "provider must be one of"),
        ({"provider": "openai", "model": "m"}, "url must be"),
        ({"model": ""}, "needs `model`"),
        ({"provider": "vllm", "model": "m"}, "takes no suffix"),
        ({"template": "qwen"}, "needs no template"),
        ({"template": "other", "provider": "openai"}, "template: 'other' is none of codegemma"),
        ({"url": "http://example.com"}, "https"),
        ({"url": "ftp://example.com"}, "url must be http"),
        ({"url": "https://"}, "url must be http"),
        ({"url": "https://a:99999"}, "not an address"),
        ({"url": "https://a.example\n"}, "url must be http"),
        ({"url": " https://a.example"}, "url must be http"),
        ({"url": "https://user:secret-word"}, "not an address"),
        ({"proxy": "socks5://user:secret-word@a:1"}, "proxy must be http.* got 'a:1'"),
        ({"proxy": "http://[::1"}, "proxy is not an address"),
        ({"proxy": "a:99999"}, "proxy is not an address"),
        ({"url": "https://user:secret-word@a.example"}, "no user, password"),
        ({"url": "https://a.example/?key=1"}, "no user, password"),
        ({"money_per_day": 1.0}, "money_per_day: is gone: bytes_per_day"),
        ({"key_env": "A", "key_keyring": "b/c"}, "one of key_env and key_keyring"),
        ({"api_key": "sk-1"}, "keys are not kept in files"),
        ({"min_confidence": 2}, "min_confidence must be in 0..1"),
        ({"requests_per_minute": 0}, "requests_per_minute must be in 1..600"),
        ({"read_s": 0.0}, "read_s must be in"),
        ({"model": 3}, "model must be a text"),
        ({"allow": ["src\\*.py"]}, "allow: .* has a backslash; write 'src/"),
        ({"deny": ["!a.py"]}, "deny: .* take a pattern back"),
        ({"deny": ["src/{a,b}.py"]}, "deny: .* has braces"),
        ({"allow": ["a.py", ""]}, "allow: .* names nothing"),
        ({"languages": ["Python"]}, "languages: 'Python' is none of .*python"),
    ],
)
def test_a_wrong_setting_says_how_to_mend_it(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        remote_settings_from(GOOD | changes)
    assert "secret-word" not in str(caught.value)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.1.2.3", True),
     ("localhost.example", False), ("10.0.0.1", False), ("0.0.0.0", False)],
)  # fmt: skip
def test_this_machine_is_recognised(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("origin", ["user", "workspace"])
@pytest.mark.parametrize("name", ["remote", "url", "provider", "send_code_to", "key_env", "mode"])
def test_neither_workspace_nor_editor_can_name_a_server(name: str, origin: Any) -> None:
    """The other settings are all that they can reach, and none of those is about a server."""
    with pytest.raises(SettingsError, match="unknown setting"):
        settings_from({name: "x"}, origin=origin, base=Settings())


class MemoryKeyring(KeyringBackend):
    """A real backend, without a disk."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise KeyringError("who-knows-what")
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def settings(**changes: Any) -> RemoteSettings:
    return RemoteSettings(**({"mode": "race", "provider": "llamacpp"} | changes))


def test_no_key_is_named() -> None:
    assert read_key(settings()) == ""


def test_the_environment_has_it() -> None:
    assert read_key(settings(key_env="MODEL_KEY"), {"MODEL_KEY": " abc\n"}) == "abc"


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_named(value: str) -> None:
    with pytest.raises(RemoteError, match="MODEL_KEY"):
        read_key(settings(key_env="MODEL_KEY"), {"MODEL_KEY": value})


@pytest.mark.parametrize("value", ["a b", "a\nb", "ä", "x" * 5_000])
def test_what_is_no_key_is_not_sent(value: str) -> None:
    with pytest.raises(RemoteError, match="set it again") as caught:
        read_key(settings(key_env="MODEL_KEY"), {"MODEL_KEY": value})
    assert value not in str(caught.value)


def test_the_keyring_has_it(ring: MemoryKeyring) -> None:
    keyring.set_password("codestral", "me", "abc")
    assert read_key(settings(key_keyring="codestral/me")) == "abc"


@pytest.mark.parametrize(
    ("name", "said"),
    [("codestral/me", "has no entry"), ("codestral", "SERVICE/USER"), ("/me", "SERVICE/USER"),
     ("locked/me", "KeyringError")],
)  # fmt: skip
def test_a_keyring_without_it_says_what_to_do(ring: MemoryKeyring, name: str, said: str) -> None:
    with pytest.raises(RemoteError, match=said) as caught:
        read_key(settings(key_keyring=name))
    assert "who-knows-what" not in str(caught.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(RemoteError, match=r"foretype\[keyring\]"):
        read_key(settings(key_keyring="codestral/me"))
