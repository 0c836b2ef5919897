"""The fast answer to `initialize` is the one that pygls gives."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp.fast_initialize import greet
from lsp.server import create_server
from lsp.session import Session
from tests.e2e.raw_client import schema
from tests.e2e.scripted_server import ScriptedEngine

CLIENTS: dict[str, dict[str, Any]] = {
    "bare": {"processId": None, "rootUri": None, "capabilities": {}},
    "neovim": {
        "processId": None,
        "rootPath": "/w",
        "rootUri": "file:///w",
        "workspaceFolders": [{"uri": "file:///w", "name": "/w"}],
        "clientInfo": {"name": "Neovim", "version": "0.12.0"},
        "trace": "off",
        "capabilities": {
            "general": {"positionEncodings": ["utf-8", "utf-16", "utf-32"]},
            "textDocument": {
                "inlineCompletion": {"dynamicRegistration": False},
                "rename": {"prepareSupport": True},
                "synchronization": {"willSave": True, "willSaveWaitUntil": True, "didSave": True},
            },
            "workspace": {"fileOperations": {"willRename": True, "didRename": True}},
        },
    },
    "vs code": {
        "processId": None,
        "rootUri": "file:///c%3A/w",
        "capabilities": {
            "general": {"positionEncodings": ["utf-16"]},
            "notebookDocument": {"synchronization": {"dynamicRegistration": True}},
        },
        "initializationOptions": {"menu_completion": True},
    },
    "emacs": {
        "processId": None,
        "rootUri": "file:///w/",
        "capabilities": {"general": {"positionEncodings": ["utf-32", "utf-8"]}},
        "initializationOptions": {"foretype": {"deadline_ms": 300}},
    },
    "unlike the protocol": {
        "processId": "12",
        "rootUri": 5,
        "workspaceFolders": [5, {"uri": "file:///a"}, {"uri": None, "name": "x"}],
        "capabilities": {"general": {"positionEncodings": ["utf-7", 8, "utf-32"]}, "window": 3},
        "initializationOptions": ["x"],
    },
    "without capabilities": {},
}


class Wire:
    """Where messages to the client go."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def put(self, message: Any) -> None:
        self.sent.append({"jsonrpc": "2.0", **message})

    def write(self, body: bytes) -> None:
        self.sent.append(json.loads(body))

    def close(self) -> None:
        """Nothing to do."""


def session_on(wire: Wire) -> Session:
    return Session(wire.put, open_engine=lambda _: ScriptedEngine())


def fast(message: Any) -> list[dict[str, Any]]:
    wire = Wire()
    return wire.sent if greet(message, session_on(wire), wire.put) else []


def slow(message: Any) -> list[dict[str, Any]]:
    wire = Wire()
    server = create_server(session_on(wire))
    server.protocol.set_writer(wire, include_headers=False)
    server.protocol.receive(message)
    return wire.sent


def request(params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": params}


@pytest.mark.parametrize("client", CLIENTS)
def test_fast_answer_is_the_slow_one(client: str) -> None:
    answers = fast(request(CLIENTS[client]))
    assert answers == slow(request(CLIENTS[client]))
    (answer,) = answers
    schema("InitResult").validate(answer["result"])


def test_answers_differ_between_clients() -> None:
    answers = {
        (
            answer["result"]["capabilities"]["positionEncoding"],
            "completionProvider" in answer["result"]["capabilities"],
        )
        for client in CLIENTS.values()
        for answer in fast(request(client))
    }
    assert answers == {("utf-8", False), ("utf-16", False), ("utf-16", True), ("utf-32", False)}


def test_wrong_setting_is_told_in_both() -> None:
    message = request({"capabilities": {}, "initializationOptions": {"deadline": 5}})
    assert len(fast(message)) == 2
    assert fast(message) == slow(message)


@pytest.mark.parametrize(
    "first",
    [
        None,
        [],
        {"jsonrpc": "2.0", "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "shutdown"},
        {"jsonrpc": "2.0", "id": True, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": None},
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": []},
        {"id": 1, "method": "initialize", "params": {}},
    ],
)
def test_anything_else_is_left_to_pygls(first: Any) -> None:
    assert fast(first) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("utf-8"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["general", "positionEncodings", "uri", "name", "foretype", "x"]), inner
        )
    ),
    max_leaves=8,
)
NAMES = ["processId", "rootUri", "rootPath", "workspaceFolders", "capabilities", "trace", "locale"]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_parameters_are_answered_alike(params: dict[str, Any]) -> None:
    params = {**params, "processId": None}  # not to watch a process
    answers = fast(request(params))
    assert len(answers) == 1
    assert answers == slow(request(params))
