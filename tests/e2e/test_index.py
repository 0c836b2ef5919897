"""A workspace's index through the real server: built, followed, and silent about secrets."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.raw_client import Client, ServerProcess
from tests.repositories import new_repository

pytestmark = pytest.mark.e2e

WAIT_S = 90.0
KEY = "AKIA" + "QZ7XK4PLM2N5RS6T"


def uri(path: Path) -> str:
    return "file://" + quote(str(path))


def index_of(client: Client) -> dict[str, Any]:
    status = client.call("workspace/executeCommand", {"command": "foretype.status"})
    (index,) = status["index"]
    return dict(index)


def wait_for(client: Client, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + WAIT_S
    while not condition(index := index_of(client)):
        assert time.monotonic() < end, index
        time.sleep(0.05)
    return index


def test_a_workspace_is_indexed_and_followed(tmp_path: Path, private_home: Path) -> None:
    files = {"a.py": "x = 1\n", "b.py": f'key = "{KEY}"\n', ".env": f"KEY={KEY}\n"}
    root = new_repository(tmp_path / "my app", files)
    with ServerProcess() as server:
        client = server.client
        able = {"didChangeWatchedFiles": {"dynamicRegistration": True}}
        client.initialize(
            rootUri=uri(root),
            capabilities={"workspace": able, "window": {"workDoneProgress": True}},
        )
        request = client.others.get(timeout=WAIT_S)
        assert request["method"] == "client/registerCapability"
        client.send({"id": request["id"], "result": None})
        index = wait_for(client, lambda index: index.get("files") == 2)
        assert index["folder"] == "my app"
        (root / "c.py").write_text("z = 3\n")
        changes = [{"uri": uri(root / "c.py"), "type": 1}]
        client.notify("workspace/didChangeWatchedFiles", {"changes": changes})
        wait_for(client, lambda index: index["files"] == 3 and index["state"] == "ready")
        client.open(uri(root / "a.py"), "x = 1\n")
        assert client.inline_text(uri(root / "a.py"), 0, 5) == "[1 = x]"
        assert server.finish() == 0
    stored = b"".join(path.read_bytes() for path in private_home.rglob("*.seg"))
    assert b"x = 1"[::-1] in stored
    assert KEY.encode() not in stored and KEY.encode()[::-1] not in stored


def test_switched_off_there_is_none(server: ServerProcess, tmp_path: Path) -> None:
    root = new_repository(tmp_path / "r", {"a.py": "x = 1\n"})
    client = server.client
    client.initialize(rootUri=uri(root), initializationOptions={"index": False})
    status = client.call("workspace/executeCommand", {"command": "foretype.status"})
    assert status["index"] == []
    assert server.finish() == 0


def test_the_index_answers_without_a_network(tmp_path: Path) -> None:
    line = "distance = measure_distance(first_place, second_place)\n"
    secret = f'client = open_client("{KEY}")\n'
    files = {"a.py": line + secret, "b.py": line + secret, "c.py": "x = 1\n"}
    root = new_repository(tmp_path / "r", files)
    options = {"model": str(tmp_path / "missing"), "show": "eager", "deadline_ms": 20_000}
    with ServerProcess(command=[sys.executable, "-m", "foretype", "lsp"]) as server:
        client = server.client
        client.initialize(rootUri=uri(root), initializationOptions=options)
        wait_for(client, lambda index: index.get("files") == 3)
        place = uri(root / "c.py")
        client.open(place, "x = 1\ndistance = measure_dist")
        offered = client.inline_text(place, 1, 23)  # the sure part of the line
        assert offered and "ance(first_place, second_place)".startswith(offered)
        client.open(uri(root / "d.py"), "speed = measure_speed(distance, hours)\n")
        typed = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 23}}
        client.change(place, 2, {"range": typed, "text": "speed = measure_sp"})
        offered = client.inline_text(place, 1, 18)
        assert offered and "eed(distance, hours)".startswith(offered)
        typed = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 18}}
        client.change(place, 3, {"range": typed, "text": 'client = open_client("'})
        offered = client.inline(place, 1, 22)["items"]
        assert KEY[4:] not in str(offered)
        assert server.finish() == 0
