"""`foretype lsp` with a completion server beside it: what an editor sees, and what leaves."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assistant.remote.ledger import Ledger
from assistant.remote.settings import remote_settings_path
from model.paths import state_folder
from tests.e2e.raw_client import TIMEOUT_S, Client, ServerProcess
from tests.remote_server import RemoteServer, completion, plain, remote_server

pytestmark = pytest.mark.e2e

REAL = [sys.executable, "-m", "foretype", "lsp"]
TEXT = "def add(a, b):\n    return "
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
OPTIONS = {"deadline_ms": 20_000, "index": False}


def configure(server: RemoteServer, consent: str = "127.0.0.1") -> None:
    path = remote_settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'mode = "only"\nprovider = "openai"\nmodel = "m"\nurl = "{server.url}"\n'
        f'send_code_to = "{consent}"\nrequests_per_minute = 100\n'
    )


def suggested(client: Client, path: Path, text: str = TEXT) -> list[str]:
    """Open a saved file and ask at its end."""
    path.write_text(text)
    client.open(path.as_uri(), text)
    line = text.count("\n")
    items = client.inline(path.as_uri(), line, len(text) - text.rfind("\n") - 1)["items"]
    return [item["insertText"] for item in items]


def status(client: Client) -> dict[str, Any]:
    told: dict[str, Any] = client.call("workspace/executeCommand", {"command": "foretype.status"})
    remote: dict[str, Any] = told["remote"]
    return remote


def test_the_servers_suggestion_reaches_the_editor(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("made.py\n")
    log = tmp_path / "log.txt"
    with remote_server(completion("a + b")) as remote:
        configure(remote)
        with ServerProcess("--log-file", str(log), "-vv", command=REAL) as server:
            client = server.client
            client.initialize(rootUri=tmp_path.as_uri(), initializationOptions=OPTIONS)
            assert suggested(client, tmp_path / "a.py") == ["a + b"]
            assert suggested(client, tmp_path / "made.py") == []
            assert suggested(client, tmp_path / ".env.py") == []
            assert suggested(client, tmp_path / "b.py", f'key = "{TOKEN}"\nx = ') != []
            assert suggested(client, tmp_path / "c.py", f'key = "{TOKEN}') == []
            assert (status(client)["mode"], status(client)["state"]) == ("only", "ready")
            assert client.others.empty()
            assert server.finish() == 0
        bodies = [request.body for request in remote.received]
    assert len(bodies) == 2
    assert not any(TOKEN[4:].encode() in body for body in bodies)
    rows = Ledger(state_folder()).rows()
    assert [row["bytes_sent"] for row in rows] == list(map(len, bodies))
    assert [row["outcome"] for row in rows] == ["ok", "ok"]
    assert TOKEN[4:] not in log.read_text() + json.dumps(rows)


def test_without_consent_the_editor_says_so_once(tmp_path: Path) -> None:
    with remote_server(completion("a + b")) as remote:
        configure(remote, consent="")
        with ServerProcess(command=REAL) as server:
            server.client.initialize(initializationOptions=OPTIONS)
            told = server.client.others.get(timeout=TIMEOUT_S)
            assert 'send_code_to = "127.0.0.1"' in told["params"]["message"]
            assert suggested(server.client, tmp_path / "a.py") == []
            assert status(server.client)["state"] == "needs consent"
            assert server.client.others.empty()
        assert remote.received == []


def test_a_workspace_can_switch_it_off_but_not_on(tmp_path: Path) -> None:
    with remote_server(completion("a + b")) as remote:
        configure(remote)
        with ServerProcess(command=REAL) as server:
            client = server.client
            client.initialize(initializationOptions=OPTIONS)
            off = {"settings": {"foretype": {"allow_remote": False}}}
            client.notify("workspace/didChangeConfiguration", off)
            assert suggested(client, tmp_path / "a.py") == []
            for name in ("remote", "url", "send_code_to"):
                table = {"settings": {"foretype": {name: remote.url}}}
                client.notify("workspace/didChangeConfiguration", table)
                assert (
                    "unknown setting" in client.others.get(timeout=TIMEOUT_S)["params"]["message"]
                )
        assert remote.received == []


def test_a_failing_server_shows_in_the_status(tmp_path: Path) -> None:
    with remote_server([plain("500 Oops")]) as remote:
        configure(remote)
        with ServerProcess(command=REAL) as server:
            server.client.initialize(initializationOptions=OPTIONS)
            for n in range(4):
                assert suggested(server.client, tmp_path / f"a{n}.py") == []
            end = time.monotonic() + TIMEOUT_S
            while status(server.client)["state"] != "degraded":
                assert time.monotonic() < end
                time.sleep(0.02)
            assert "500" in status(server.client)["problem"]
            assert server.finish() == 0
        assert len(remote.received) == 3
