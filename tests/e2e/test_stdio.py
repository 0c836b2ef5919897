"""The server as an editor starts it: a child process, raw messages, official schemas."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.doubles import tiny_folder
from tests.e2e.raw_client import ROOT, SCRIPTED, TIMEOUT_S, ServerProcess, schema
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


def error_code(server: ServerProcess, request_id: int) -> int:
    return int(server.client.reply(request_id)["error"]["code"])


def test_a_session_from_start_to_exit() -> None:
    with ServerProcess() as server:
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
            "positionEncoding": "utf-16",
        }
        assert server.finish() == 0


def test_schemas_can_refuse() -> None:
    with pytest.raises(jsonschema.ValidationError):
        schema("ICResult").validate({"items": [{"insert_text": "x"}]})


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 15), ("utf-16", 9), ("utf-32", 7)])
def test_columns_are_in_the_agreed_encoding(encoding: str, column: int) -> None:
    line = "😀漢é😀 x="
    with ServerProcess() as server:
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
def test_line_ends_are_the_file_s_own(eol: str) -> None:
    with ServerProcess() as server:
        server.client.initialize()
        server.client.open(URI, eol.join(["def f():", "\tx = lines", ""]))
        assert server.client.inline_text(URI, 1, 10) == eol.join(["one", "\ttwo", "three"])
        assert server.client.inline_text(URI, 1, 5) == mirror("\tx = ")


def test_form_feed_does_not_shift_later_edits() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        server.client.open(URI, "a\n\x0c\nb = 1\n\u2028c = 2\n")
        server.client.change(URI, 2, edit(2, 4, 5, "one"))
        assert server.client.inline_text(URI, 2, 7) == mirror("b = one")
        assert server.client.inline_text(URI, 3, 4) == mirror("\u2028c =")


def test_positions_beyond_the_document_are_its_end() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        server.client.open(URI, "one\ntwo")
        assert server.client.inline_text(URI, 0, 2**31 - 1) == mirror("one")
        assert server.client.inline_text(URI, 99, 99) == mirror("two")


def test_fifty_documents_are_kept_apart() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        uris = [f"file:///w/{number}.py" for number in range(50)]
        for number, uri in enumerate(uris):
            server.client.open(uri, f"n = {number}")
        asked = [server.client.ask_inline(uri, 0, 6) for uri in uris]
        for number, request in enumerate(asked):
            (item,) = server.client.result(request)["items"]
            assert item["insertText"] == mirror(f"n = {number}")


def test_unsaved_and_foreign_documents_are_completed() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        for uri, path in (
            ("untitled:Untitled-1", "Untitled-1"),
            ("file:///w/src/a.py", "src/a.py"),
            ("git:/w/src/a.py?ref", "src/a.py"),
        ):
            server.client.open(uri, "path", language="python")
            assert server.client.inline_text(uri, 0, 4) == f"{path}|python"


def test_superseded_request_is_null_and_its_late_answer_is_dropped() -> None:
    with ServerProcess() as server:
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


def test_nothing_to_offer_is_an_empty_list() -> None:
    with ServerProcess() as server:
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


def test_cancelled_request_is_answered_as_cancelled() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        server.client.open(URI, "slow")
        request = server.client.ask_inline(URI, 0, 4)
        server.client.notify("$/cancelRequest", {"id": request})
        assert error_code(server, request) == -32800
        server.client.notify("$/cancelRequest", {"id": request})
        assert server.finish() == 0


def test_initialize_is_answered_while_the_model_loads(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with ServerProcess("--gate", str(gate)) as server:
        client = server.client
        client.initialize(initializationOptions={"deadline_ms": 50})
        client.open(URI, "early")
        assert client.inline(URI, 0, 5) == {"items": []}  # not within the deadline
        status = client.call("workspace/executeCommand", {"command": "foretype.status"})
        assert status["engine"] == "loading"
        gate.touch()
        while status["engine"] != "ready":
            status = client.call("workspace/executeCommand", {"command": "foretype.status"})
        assert client.inline_text(URI, 0, 5) == mirror("early")


def test_request_waits_for_the_model_within_its_deadline(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with ServerProcess("--gate", str(gate)) as server:
        server.client.initialize(initializationOptions={"deadline_ms": 20_000})
        server.client.open(URI, "early")
        request = server.client.ask_inline(URI, 0, 5)
        gate.touch()
        assert server.client.result(request)["items"][0]["insertText"] == mirror("early")


def test_model_that_cannot_load_leaves_a_silent_server(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.write_text("broken")
    with ServerProcess("--gate", str(gate), stderr=subprocess.PIPE) as server:
        server.client.initialize()
        server.client.open(URI, "x")
        assert server.client.inline(URI, 0, 1) == {"items": []}
        assert server.finish() == 0
        assert server.process.stderr is not None
        log = server.process.stderr.read().decode()
        assert "the model cannot be used: ValueError at" in log
        assert "secret" not in log


def test_wrong_settings_are_shown_once_and_survived() -> None:
    with ServerProcess() as server:
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


def test_client_whose_process_cannot_be_seen_is_served() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait(TIMEOUT_S)
    with ServerProcess() as server:
        server.client.initialize(processId=gone.pid)
        server.client.open(URI, "x")
        assert server.client.inline_text(URI, 0, 1) == mirror("x")
        assert server.finish() == 0


def test_menu_completion_is_the_same_text_and_off_by_default() -> None:
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}
    with ServerProcess() as server:
        server.client.initialize()
        server.client.open(URI, "x = ")
        assert server.client.call("textDocument/completion", params) == []
    with ServerProcess() as server:
        options = {"menu_completion": True}
        capabilities = server.client.initialize(initializationOptions=options)["capabilities"]
        assert capabilities["completionProvider"] == {}
        server.client.open(URI, "x = ")
        inline = server.client.ask_inline(URI, 0, 4)
        menu = server.client.call("textDocument/completion", params)
        (item,) = server.client.result(inline)["items"]  # the two do not supersede each other
        assert menu["items"][0]["textEdit"] == {
            "newText": item["insertText"],
            "range": item["range"],
        }


def test_order_of_life_is_kept() -> None:
    with ServerProcess() as server:
        client = server.client
        assert error_code(server, client.ask("textDocument/inlineCompletion", {})) == -32002
        client.initialize()
        assert error_code(server, client.ask("initialize", {})) == -32600
        assert (
            error_code(server, client.ask("workspace/executeCommand", {"command": "x"})) == -32602
        )
        client.call("shutdown")
        assert error_code(server, client.ask("textDocument/inlineCompletion", {})) == -32600
        client.notify("exit")
        assert server.process.wait(TIMEOUT_S) == 0


def test_exit_without_shutdown_is_a_failure() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        server.client.notify("exit")
        assert server.process.wait(TIMEOUT_S) == 1


def test_end_of_input_ends_the_server_while_it_decodes() -> None:
    with ServerProcess() as server:
        server.client.initialize()
        server.client.open(URI, "slow")
        server.client.ask_inline(URI, 0, 4)
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(2 + TIMEOUT_S / 4) == 1


def test_log_file_gets_the_log_and_no_user_text(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    with ServerProcess("--log-file", str(log), "-vv") as server:
        server.client.initialize()
        server.client.open(URI, "canary_in_the_text raise")
        assert server.client.inline(URI, 0, 24) == {"items": []}
        assert server.finish() == 0
    text = log.read_text()
    assert "no suggestion: ValueError at scheduler.py" in text
    assert "canary" not in text
    assert "src/a.py" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tcp", "0.0.0.0:0"], "can be reached from other machines"),
        (["--tcp", "nonsense"], "is not HOST:PORT"),
        (["--log-file", "/dev/null/x"], "log_file"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_wrong_options_are_one_line_and_code_two(options: list[str], message: str) -> None:
    done = subprocess.run(
        [*SCRIPTED, *options], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""


DYING_CLIENT = """
import json, os, subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
params = {"processId": os.getpid(), "rootUri": None, "capabilities": {}}
body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
server.stdin.write(b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
server.stdin.flush()
server.stdout.readline()
print(server.pid, os.getpid(), server.stdin.fileno(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to watch a grandchild")
def test_server_ends_when_its_client_dies_and_the_pipe_stays_open() -> None:
    client = subprocess.Popen(
        [sys.executable, "-c", DYING_CLIENT, *SCRIPTED],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None and client.stdout is not None
    server_pid, client_pid, pipe = map(int, client.stdout.readline().split())
    server = os.pidfd_open(server_pid)
    held_open = os.open(f"/proc/{client_pid}/fd/{pipe}", os.O_WRONLY)
    try:
        client.kill()
        client.wait(TIMEOUT_S)
        import select

        assert select.select([server], [], [], TIMEOUT_S)[0]
    finally:
        os.close(held_open)
        os.close(server)
        client.stdin.close()
        client.stdout.close()


REAL = [sys.executable, "-m", "foretype", "lsp"]


def first_items(server: ServerProcess, text: str) -> list[dict[str, Any]]:
    """The first suggestions that come after typing `text` key by key, or none."""
    client = server.client
    client.open(URI, "")
    items: list[dict[str, Any]] = []
    for number, key in enumerate(text):
        line, column = text[:number].count("\n"), number - (text.rfind("\n", 0, number) + 1)
        client.change(URI, number + 2, edit(line, column, column, key))
        after = (line + 1, 0) if key == "\n" else (line, column + 1)
        items = items or client.inline(URI, *after)["items"]
    return items


def test_real_engine_with_a_tiny_model(tmp_path: Path) -> None:
    options = {"model": str(tiny_folder(tmp_path)), "deadline_ms": 60_000, "max_new_tokens": 4}
    with ServerProcess(command=REAL) as server:
        server.client.initialize(initializationOptions=options)
        first_items(server, "x = 1\ny")
        status = server.client.call("workspace/executeCommand", {"command": "foretype.status"})
        assert (status["engine"], status["answered"]) == ("ready", 7)
        assert server.client.others.empty()
        assert server.finish() == 0


def test_missing_model_is_told_once_and_the_server_lives(tmp_path: Path) -> None:
    with ServerProcess(command=REAL) as server:
        options = {"model": str(tmp_path / "nowhere")}
        server.client.initialize(initializationOptions=options)
        told = server.client.others.get(timeout=TIMEOUT_S)
        assert told["method"] == "window/showMessage"
        assert "nowhere" in told["params"]["message"]
        server.client.open(URI, "x = ")
        assert server.client.inline(URI, 0, 4) == {"items": []}
        assert server.client.others.empty()
        assert server.finish() == 0


@pytest.mark.skipif(
    not (ROOT / "model" / "bundled" / "foretype.json").exists(),
    reason="this checkout has no bundled model",
)
@pytest.mark.usefixtures("shared_cache")
def test_bundled_model_suggests_while_a_person_types() -> None:
    with ServerProcess(command=REAL) as server:
        server.client.initialize(initializationOptions={"deadline_ms": 20_000})
        (item,) = first_items(server, "import os\n\nfor name in os.listdir(path):\n    print(na")
        assert item["insertText"].strip()
        assert server.finish() == 0


def test_messages_are_json_of_version_two() -> None:
    with ServerProcess() as server:
        reply = server.client.reply(server.client.ask("nonsense"))
        assert reply["jsonrpc"] == "2.0"
        assert json.dumps(reply)
