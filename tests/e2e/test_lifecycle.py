"""Start, loading, shutdown and every other way to end, in child processes."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.raw_client import ROOT, SCRIPTED, TIMEOUT_S, ServerProcess
from tests.e2e.scripted_server import mirror
from tests.programs import run_program

pytestmark = pytest.mark.e2e

URI = "file:///w/src/a.py"


def error_code(server: ServerProcess, request_id: int) -> int:
    return int(server.client.reply(request_id)["error"]["code"])


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


def test_order_of_life_is_kept(server: ServerProcess) -> None:
    client = server.client
    assert error_code(server, client.ask("textDocument/inlineCompletion", {})) == -32002
    client.initialize()
    assert error_code(server, client.ask("initialize", {})) == -32600
    assert error_code(server, client.ask("workspace/executeCommand", {"command": "x"})) == -32602
    client.call("shutdown")
    assert error_code(server, client.ask("textDocument/inlineCompletion", {})) == -32600
    client.notify("exit")
    assert server.process.wait(TIMEOUT_S) == 0


def test_exit_without_shutdown_is_a_failure(server: ServerProcess) -> None:
    server.client.initialize()
    server.client.notify("exit")
    assert server.process.wait(TIMEOUT_S) == 1


def test_end_of_input_ends_the_server_while_it_decodes(server: ServerProcess) -> None:
    server.client.initialize()
    server.client.open(URI, "slow")
    server.client.ask_inline(URI, 0, 4)
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(2 + TIMEOUT_S / 4) == 1


def test_log_file_of_the_client_s_options_is_used(tmp_path: Path) -> None:
    log, wrong = tmp_path / "logs" / "server.log", tmp_path / "folder"
    wrong.mkdir()
    for place in (log, wrong):
        with ServerProcess() as server:
            server.client.initialize(initializationOptions={"log_file": str(place)})
            server.client.open(URI, "x")
            server.client.inline(URI, 0, 1)
            if place == wrong:
                told = server.client.others.get(timeout=TIMEOUT_S)
                assert "is not a regular file" in told["params"]["message"]
            assert server.finish() == 0
    assert log.exists()


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
    done = run_program([*SCRIPTED, *options], timeout=TIMEOUT_S)
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
        assert select.select([server], [], [], TIMEOUT_S)[0]
    finally:
        os.close(held_open)
        os.close(server)
        client.stdin.close()
        client.stdout.close()
