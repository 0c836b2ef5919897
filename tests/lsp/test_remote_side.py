"""The session's remote side: opened by the user's file only, and never in the way."""

from collections.abc import Mapping
from typing import Any

import pytest

from assistant.errors import ModelError
from assistant.remote.settings import remote_settings_path
from assistant.request import Completion, CompletionRequest
from assistant.settings import Settings
from lsp.session import Session

GOOD = 'mode = "fallback"\nprovider = "llamacpp"\n'


class NoModel:
    """An engine whose model cannot be loaded."""

    settings = Settings()

    def load(self) -> None:
        raise ModelError("no model")

    def complete(self, request: CompletionRequest, cancel: Any) -> list[Completion]:
        return []


def configure(text: str) -> None:
    path = remote_settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def opened() -> tuple[Session, list[str]]:
    said: list[Mapping[str, Any]] = []
    session = Session(said.append)
    session._open_remote(Settings())
    return session, [message["params"]["message"] for message in said]


def test_without_a_file_there_is_none() -> None:
    session, said = opened()
    assert session.remote is None
    assert said == []
    session.stop(1.0)


def test_a_server_without_consent_is_told_once() -> None:
    configure(GOOD)
    session, said = opened()
    assert len(said) == 1
    assert 'send_code_to = "127.0.0.1"' in said[0]
    assert session.remote.status()["state"] == "needs consent"
    session.stop(1.0)


def test_with_consent_nothing_is_said() -> None:
    configure(GOOD + 'send_code_to = "127.0.0.1"\n')
    session, said = opened()
    assert said == []
    assert session.remote.status()["state"] == "ready"
    session.stop(1.0)


def test_a_wrong_file_costs_the_remote_only() -> None:
    configure('mode = "sometimes"\n')
    session, said = opened()
    assert session.remote is None
    assert "remote.toml" in said[0]


@pytest.mark.parametrize("has_remote", [True, False])
def test_a_server_can_stand_in_for_a_model_that_does_not_load(has_remote: bool) -> None:
    session = Session(lambda _: None, open_engine=lambda _: NoModel())
    session.remote = object() if has_remote else None
    session._load()
    assert session.engine_state == "failed"
    assert (session.scheduler._engine is not None) is has_remote
