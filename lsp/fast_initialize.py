"""Answers `initialize` before pygls is imported, whose types take longer to build than it may last.

It announces what pygls would for the features that the server has then; a test compares the two.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lsp.session import Send, Session

ENCODINGS = ("utf-8", "utf-16", "utf-32")
DEFAULT_ENCODING = "utf-16"  # what the protocol says when nothing is offered

NAME = "foretype"
COMMANDS = tuple(
    f"foretype.{name}" for name in ("dismissNextEdit", "status", "why", "models", "useModel")
)
_INCREMENTAL = 2  # TextDocumentSyncKind.Incremental
_MAX_PID = 2**31 - 1  # the protocol's largest integer


class Greeting(NamedTuple):
    """What of the client's parameters is used."""

    process_id: int | None
    roots: list[str]  # URIs of the workspace folders
    options: object  # initializationOptions
    encoding: str
    shows_progress: bool
    watches_files: bool  # where it is asked to


def greet(message: object, session: Session, send: Send) -> Greeting | None:
    """Answer a request to initialize and start the session; None for any other message."""
    if not (isinstance(message, dict) and _is_initialize(message)):
        return None
    greeting = read_greeting(message["params"])
    session.settings.initialize(greeting.options)
    menu = session.settings.current.menu_completion
    result = {"capabilities": capabilities(greeting.encoding, menu), "serverInfo": {"name": NAME}}
    send({"id": message["id"], "result": result})
    session.start(greeting.process_id)
    return greeting


def capabilities(encoding: str, menu_completion: bool) -> dict[str, Any]:
    """Return what the server can do, for every client: some use what they do not announce."""
    provided: dict[str, Any] = {
        "positionEncoding": encoding,
        "textDocumentSync": {"openClose": True, "change": _INCREMENTAL, "save": True},
        "inlineCompletionProvider": {},
        "codeActionProvider": {"codeActionKinds": ["quickfix", "refactor.rewrite"]},
        "executeCommandProvider": {"commands": [*COMMANDS]},
        "workspace": {
            "workspaceFolders": {"supported": True, "changeNotifications": True},
            "fileOperations": {},
        },
    }
    if menu_completion:
        provided["completionProvider"] = {}
    return provided


def read_greeting(params: Mapping[str, Any]) -> Greeting:
    """Return what is used of initialize's parameters; what is of a wrong kind counts as left out.

    Editors announce hundreds of abilities, some that lsprotocol does not know or allow: one such
    would cost the whole session, and building the types of all of them a fifth of a second.
    """
    pid, able = params.get("processId"), params.get("capabilities")
    watching = _member(_member(able, "workspace"), "didChangeWatchedFiles")
    return Greeting(
        process_id=pid if type(pid) is int and 0 < pid <= _MAX_PID else None,
        roots=_read_roots(params),
        options=params.get("initializationOptions"),
        encoding=choose_encoding(_member(_member(able, "general"), "positionEncodings")),
        shows_progress=_member(_member(able, "window"), "workDoneProgress") is True,
        watches_files=_member(watching, "dynamicRegistration") is True,
    )


def choose_encoding(offered: object) -> str:
    """Return the first encoding that the client offers and we know."""
    names = offered if isinstance(offered, list) else []
    return next((name for name in names if name in ENCODINGS), DEFAULT_ENCODING)


def _is_initialize(value: dict[str, Any]) -> bool:
    return (
        value.get("jsonrpc") == "2.0"
        and value.get("method") == "initialize"
        and type(value.get("id")) in (int, str)
        and isinstance(value.get("params"), dict)
    )


def _read_roots(params: Mapping[str, Any]) -> list[str]:
    folders, path = params.get("workspaceFolders"), _text(params.get("rootPath"))
    listed = (
        _text(_member(item, "uri")) for item in (folders if isinstance(folders, list) else ())
    )
    if roots := [uri for uri in listed if uri]:
        return roots
    root = _text(params.get("rootUri"))
    if not root and path and Path(path).is_absolute():
        root = Path(path).as_uri()
    return [root] if root else []


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
