"""Answers `initialize` before pygls is imported, whose types take longer to build than it may last.

The answer is the one that pygls gives later to the same message and that is then not sent; a test
compares the two. Whatever else comes first is left to pygls.
"""

from collections.abc import Mapping
from typing import Any

from lsp.positions import ENCODINGS, Encoding, choose_encoding
from lsp.session import Send, Session

NAME = "foretype"
STATUS_COMMAND = "foretype.status"
WHY_COMMAND = "foretype.why"
MODELS_COMMAND = "foretype.models"
USE_MODEL_COMMAND = "foretype.useModel"
DISMISS_COMMAND = "foretype.dismissNextEdit"
COMMANDS = (DISMISS_COMMAND, STATUS_COMMAND, WHY_COMMAND, MODELS_COMMAND, USE_MODEL_COMMAND)
_INCREMENTAL = 2  # TextDocumentSyncKind.Incremental
_PROGRESS = "workDoneProgress"
_MAX_PID = 2**31 - 1  # the protocol's largest integer


def greet(first: object, session: Session, send: Send) -> bool:
    """Answer `first` and start the session, if it is a request to initialize; say whether it is."""
    if not (isinstance(first, dict) and _is_initialize(first)):
        return False
    params = essential(first["params"])
    session.settings.initialize(params["initializationOptions"])
    encoding = choose_encoding(params["capabilities"]["general"]["positionEncodings"])
    menu = session.settings.current.menu_completion
    result = {"capabilities": capabilities(encoding, menu), "serverInfo": {"name": NAME}}
    send({"id": first["id"], "result": result})
    session.start(params["processId"])
    return True


def capabilities(encoding: Encoding, menu_completion: bool) -> dict[str, Any]:
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


def essential(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of initialize's parameters that are read, those of a wrong kind left out.

    Editors announce hundreds of abilities, some that lsprotocol does not know or allow: one such
    would cost the whole session, and building the types of all of them a fifth of a second.
    """
    pid = params.get("processId")
    able = params.get("capabilities")
    offered = _member(_member(able, "general"), "positionEncodings")
    watching = _member(_member(able, "workspace"), "didChangeWatchedFiles")
    return {
        "processId": pid if type(pid) is int and 0 < pid <= _MAX_PID else None,
        "rootUri": _text(params.get("rootUri")),
        "rootPath": _text(params.get("rootPath")),
        "workspaceFolders": _folders(params.get("workspaceFolders")),
        "initializationOptions": params.get("initializationOptions"),
        "capabilities": {
            "general": {
                "positionEncodings": [
                    name
                    for name in (offered if isinstance(offered, list) else ())
                    if name in ENCODINGS
                ]
            },
            "window": {"workDoneProgress": _member(_member(able, "window"), _PROGRESS) is True},
            "workspace": {
                "didChangeWatchedFiles": {
                    "dynamicRegistration": _member(watching, "dynamicRegistration") is True
                }
            },
        },
    }


def _is_initialize(value: dict[str, Any]) -> bool:
    return (
        value.get("jsonrpc") == "2.0"
        and value.get("method") == "initialize"
        and type(value.get("id")) in (int, str)
        and isinstance(value.get("params"), dict)
    )


def _folders(value: object) -> list[dict[str, str]] | None:
    found = [
        {"uri": uri, "name": _text(_member(item, "name")) or ""}
        for item in (value if isinstance(value, list) else ())
        if (uri := _text(_member(item, "uri")))
    ]
    return found or None


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
