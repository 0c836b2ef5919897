"""The server as an editor starts it: a child process, raw messages, official schemas."""

import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from tests.e2e.raw_client import TIMEOUT_S, ServerProcess, schema
from tests.e2e.scripted_server import mirror

pytestmark = pytest.mark.e2e

URI = "file:///w/src/a.py"


def edit(line: int, start: int, end: int, text: str) -> dict[str, Any]:
    return {
        "range": {
            "start": {"line": line, "character": start},
            "end": {"line": line, "character": end},
        },
        "text": text,
    }


AT_END = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}


def error_code(server: ServerProcess, request_id: int) -> int:
    return int(server.client.reply(request_id)["error"]["code"])


def test_a_session_from_start_to_exit(server: ServerProcess) -> None:
    client = server.client
    result = client.initialize("utf-16")
    assert result["capabilities"]["inlineCompletionProvider"] == {}
    assert "completionProvider" not in result["capabilities"]
    client.open(URI, "import os\nx = ")
    assert client.inline(URI, 1, 4) == {
        "items": [
            {
                "insertText": mirror("x = "),
                "range": {
                    "start": {"line": 1, "character": 4},
                    "end": {"line": 1, "character": 4},
                },
            }
        ]
    }
    client.change(URI, 2, edit(1, 4, 4, "os"), edit(0, 7, 9, "sys"))
    assert client.inline_text(URI, 1, 6) == mirror("x = os")
    client.change(URI, 3, {"text": "whole"})
    assert client.inline_text(URI, 0, 3) == mirror("who")
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert client.inline(URI, 0, 0) == {"items": []}
    assert client.call("workspace/executeCommand", {"command": "foretype.status"}) == {
        "engine": "ready",
        "enabled": True,
        "documents": 0,
        "answered": 3,
        "suggestions": {"shown": 3, "whole": 0, "part": 0},
        "model": {
            "serving": "",
            "base": "",
            "chosen_by": "default",
            "loaded": [],
            "folders": [{"folder": "w", "model": ""}],
        },
        "index": [],
        "remote": {"mode": "off"},
        "positionEncoding": "utf-16",
    }
    assert server.finish() == 0


def test_schemas_can_refuse() -> None:
    with pytest.raises(jsonschema.ValidationError):
        schema("ICResult").validate({"items": [{"insert_text": "x"}]})


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 15), ("utf-16", 9), ("utf-32", 7)])
def test_columns_are_in_the_agreed_encoding(
    server: ServerProcess, encoding: str, column: int
) -> None:
    line = "😀漢é😀 x="
    capabilities = server.client.initialize(encoding)["capabilities"]
    assert capabilities["positionEncoding"] == encoding
    server.client.open(URI, f"{line}wide")
    column = len(
        line.encode({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding))
    )
    column //= {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    assert server.client.inline_text(URI, 0, column) == mirror(line)
    server.client.change(URI, 2, edit(0, column, column, " wide"))
    (item,) = server.client.inline(URI, 0, column + 5)["items"]
    assert item["range"] == {
        "start": {"line": 0, "character": 0},
        "end": {"line": 0, "character": column + 9},
    }


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
def test_line_ends_are_the_file_s_own(server: ServerProcess, eol: str) -> None:
    server.client.initialize()
    server.client.open(URI, eol.join(["def f():", "\tx = lines", ""]))
    assert server.client.inline_text(URI, 1, 10) == eol.join(["one", "\ttwo", "three"])
    assert server.client.inline_text(URI, 1, 5) == mirror("\tx = ")


def test_form_feed_does_not_shift_later_edits(server: ServerProcess) -> None:
    server.client.initialize()
    server.client.open(URI, "a\n\x0c\nb = 1\n\u2028c = 2\n")
    server.client.change(URI, 2, edit(2, 4, 5, "one"))
    assert server.client.inline_text(URI, 2, 7) == mirror("b = one")
    assert server.client.inline_text(URI, 3, 4) == mirror("\u2028c =")


def test_positions_beyond_the_document_are_its_end(server: ServerProcess) -> None:
    server.client.initialize()
    server.client.open(URI, "one\ntwo")
    assert server.client.inline_text(URI, 0, 2**31 - 1) == mirror("one")
    assert server.client.inline_text(URI, 99, 99) == mirror("two")


def test_fifty_documents_are_kept_apart(server: ServerProcess) -> None:
    server.client.initialize()
    uris = [f"file:///w/{number}.py" for number in range(50)]
    for number, uri in enumerate(uris):
        server.client.open(uri, f"n = {number}")
    asked = [server.client.ask_inline(uri, 0, 6) for uri in uris]
    for number, request in enumerate(asked):
        (item,) = server.client.result(request)["items"]
        assert item["insertText"] == mirror(f"n = {number}")


def test_unsaved_and_foreign_documents_are_completed(server: ServerProcess) -> None:
    server.client.initialize()
    for uri, path in (
        ("untitled:Untitled-1", "Untitled-1"),
        ("file:///w/src/a.py", "src/a.py"),
        ("git:/w/src/a.py?ref", "src/a.py"),
    ):
        server.client.open(uri, "path", language="python")
        assert server.client.inline_text(uri, 0, 4) == f"{path}|python"


def test_superseded_request_is_null_and_its_late_answer_is_dropped(server: ServerProcess) -> None:
    client = server.client
    client.initialize()
    client.open(URI, "say slow\nfast")
    old = client.ask_inline(URI, 0, 8)
    new = client.ask_inline(URI, 1, 4)
    assert client.result(old) is None
    assert client.result(new)["items"][0]["insertText"] == mirror("fast")
    assert client.n_waiting_replies(old) == 0
    other = client.ask_inline(URI, 0, 8)
    client.change(URI, 2, edit(0, 0, 8, "quick"))
    assert client.result(other) is None  # the version moved on
    assert client.inline_text(URI, 0, 5) == mirror("quick")


def test_nothing_to_offer_is_an_empty_list(server: ServerProcess) -> None:
    client = server.client
    client.initialize()
    client.open(URI, "nothing\nraise")
    assert client.inline(URI, 0, 7) == {"items": []}
    assert client.inline(URI, 1, 5) == {"items": []}
    assert client.inline("file:///w/unopened.py", 0, 0) == {"items": []}
    client.notify("textDocument/didChange", {"textDocument": {"uri": URI, "version": 2}})
    assert client.inline(URI, 0, 0) == {"items": []}  # broken until its full text
    client.change(URI, 3, {"text": "whole"})
    assert client.inline_text(URI, 0, 5) == mirror("whole")
    client.open("file:///w/large.py", "x = 1\n" * 400_000)
    assert client.inline("file:///w/large.py", 0, 0) == {"items": []}
    assert client.others.empty()  # no pop-up for any of these


def test_cancelled_request_is_answered_as_cancelled(server: ServerProcess) -> None:
    server.client.initialize()
    server.client.open(URI, "slow")
    request = server.client.ask_inline(URI, 0, 4)
    server.client.notify("$/cancelRequest", {"id": request})
    assert error_code(server, request) == -32800
    server.client.notify("$/cancelRequest", {"id": request})
    assert server.finish() == 0


def test_wrong_settings_are_shown_once_and_survived(server: ServerProcess) -> None:
    client = server.client
    client.initialize(initializationOptions={"deadline": 5, "deadline_ms": 400})
    told = client.others.get(timeout=TIMEOUT_S)
    assert told["method"] == "window/showMessage"
    assert told["params"]["type"] == 2
    assert "deadline" in told["params"]["message"]
    for value in ("/evil", "/more"):
        settings = {"foretype": {"model": value, "multi_line": "never"}}
        client.notify("workspace/didChangeConfiguration", {"settings": settings})
    assert "model" in client.others.get(timeout=TIMEOUT_S)["params"]["message"]
    client.open(URI, "setting")
    assert client.inline_text(URI, 0, 7) == "never"
    disabled = {"settings": {"foretype": {"enabled": False}}}
    client.notify("workspace/didChangeConfiguration", disabled)
    assert client.inline(URI, 0, 1) == {"items": []}
    client.notify("workspace/didChangeConfiguration", {"settings": None})
    assert client.inline_text(URI, 0, 3) == mirror("set")
    assert client.others.empty()


def test_client_whose_process_cannot_be_seen_is_served(server: ServerProcess) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait(TIMEOUT_S)
    server.client.initialize(processId=gone.pid)
    server.client.open(URI, "x")
    assert server.client.inline_text(URI, 0, 1) == mirror("x")
    assert server.finish() == 0


def test_menu_completion_is_off_by_default(server: ServerProcess) -> None:
    server.client.initialize()
    server.client.open(URI, "x = ")
    assert error_code(server, server.client.ask("textDocument/completion", AT_END)) == -32601


def test_menu_completion_is_the_same_text(server: ServerProcess) -> None:
    options = {"menu_completion": True}
    capabilities = server.client.initialize(initializationOptions=options)["capabilities"]
    assert capabilities["completionProvider"] == {}
    server.client.open(URI, "x = ")
    inline = server.client.ask_inline(URI, 0, 4)
    menu = server.client.call("textDocument/completion", AT_END)
    (item,) = server.client.result(inline)["items"]  # the two do not supersede each other
    text_edit = {"newText": item["insertText"], "range": item["range"]}
    assert menu["items"][0]["textEdit"] == text_edit
