"""`initialize` is answered before pygls is there, as pygls would for what the server can do."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder

from lsp.fast_initialize import greet, read_greeting
from lsp.protocol import strict_converter
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


def session_on(wire: Wire) -> Session:
    return Session(wire.put, open_engine=lambda _: ScriptedEngine())


def fast(message: Any) -> list[dict[str, Any]]:
    wire = Wire()
    return wire.sent if greet(message, session_on(wire), wire.put) else []


def announced_by_pygls(message: Any) -> Any:
    """What pygls would say of the features that the server has once it has begun."""
    wire = Wire()
    session = session_on(wire)
    server = create_server(session, greet(message, session, wire.put))
    features, encoding = server.protocol.fm, server.workspace.position_encoding
    built = ServerCapabilitiesBuilder(
        types.ClientCapabilities(),
        {*features.features, *features.builtin_features},
        features.feature_options,
        [*features.commands],
        types.TextDocumentSyncKind.Incremental,
        None,
        encoding,
    ).build()
    return strict_converter().unstructure(built)


def request(params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": params}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_announced_is_what_there_is(client: str) -> None:
    (answer,) = fast(request(CLIENTS[client]))
    assert answer["result"]["capabilities"] == announced_by_pygls(request(CLIENTS[client]))
    schema("InitResult").validate(answer["result"])


@pytest.mark.parametrize(
    ("client", "roots"),
    [
        ("bare", []),
        ("neovim", ["file:///w"]),
        ("vs code", ["file:///c%3A/w"]),
        ("unlike the protocol", ["file:///a"]),
    ],
)
def test_folders_are_read(client: str, roots: list[str]) -> None:
    assert read_greeting(CLIENTS[client]).roots == roots


def test_a_path_is_a_folder_where_there_is_no_uri() -> None:
    assert read_greeting({"rootPath": "/a b"}).roots == ["file:///a%20b"]
    assert read_greeting({"rootPath": "a"}).roots == []


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


def test_a_wrong_setting_is_told() -> None:
    message = request({"capabilities": {}, "initializationOptions": {"deadline": 5}})
    assert len(fast(message)) == 2


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
def test_anything_else_is_no_greeting(first: Any) -> None:
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
@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_parameters_are_answered(params: dict[str, Any]) -> None:
    params = {**params, "processId": None}  # not to watch a process
    answers = fast(request(params))
    assert len(answers) == 1
    assert answers[0]["result"]["capabilities"] == announced_by_pygls(request(params))
