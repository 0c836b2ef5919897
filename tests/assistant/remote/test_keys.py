"""Keys come from the environment or a keyring, and are never part of a message."""

import sys
from collections.abc import Iterator
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

from assistant.remote.errors import WithheldError
from assistant.remote.keys import key_of
from assistant.remote.settings import RemoteSettings


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
    assert key_of(settings()) == ""


def test_the_environment_has_it() -> None:
    assert key_of(settings(key_env="MODEL_KEY"), {"MODEL_KEY": " abc\n"}) == "abc"


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_named(value: str) -> None:
    with pytest.raises(WithheldError, match="MODEL_KEY"):
        key_of(settings(key_env="MODEL_KEY"), {"MODEL_KEY": value})


@pytest.mark.parametrize("value", ["a b", "a\nb", "ä", "x" * 5_000])
def test_what_is_no_key_is_not_sent(value: str) -> None:
    with pytest.raises(WithheldError, match="set it again") as caught:
        key_of(settings(key_env="MODEL_KEY"), {"MODEL_KEY": value})
    assert value not in str(caught.value)


def test_the_keyring_has_it(ring: MemoryKeyring) -> None:
    keyring.set_password("codestral", "me", "abc")
    assert key_of(settings(key_keyring="codestral/me")) == "abc"


@pytest.mark.parametrize(
    ("name", "said"),
    [("codestral/me", "has no entry"), ("codestral", "SERVICE/USER"), ("/me", "SERVICE/USER"),
     ("locked/me", "KeyringError")],
)  # fmt: skip
def test_a_keyring_without_it_says_what_to_do(ring: MemoryKeyring, name: str, said: str) -> None:
    with pytest.raises(WithheldError, match=said) as caught:
        key_of(settings(key_keyring=name))
    assert "who-knows-what" not in str(caught.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(WithheldError, match=r"foretype\[keyring\]"):
        key_of(settings(key_keyring="codestral/me"))
