"""`foretype lsp` as it is installed, with the real engine."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import tiny_folder
from tests.e2e.offline import without_network
from tests.e2e.raw_client import ROOT, TIMEOUT_S, Client, ServerProcess

pytestmark = pytest.mark.e2e

URI = "file:///w/a.py"
REAL = [sys.executable, "-m", "foretype", "lsp"]

# Notes each use of the network that Python itself reports to its auditors.
WATCHED = """
import sys
notes = open({asked!r}, "w", buffering=1)
KINDS = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request")
def note(event, arguments):
    if event in KINDS:
        notes.write(event + repr(arguments[1:]) + chr(10))
sys.addaudithook(note)
import socket
socket.socket().connect_ex(("127.0.0.1", 9))
sys.argv = ["foretype", "lsp"]
from foretype import main
sys.exit(main())
"""


def first_items(server: ServerProcess, text: str) -> list[dict[str, Any]]:
    """The first suggestions that come after typing `text` key by key, or none."""
    client = server.client
    client.open(URI, "")
    items: list[dict[str, Any]] = []
    for number, key in enumerate(text):
        line, column = text[:number].count("\n"), number - (text.rfind("\n", 0, number) + 1)
        place = {"line": line, "character": column}
        typed = {"range": {"start": place, "end": place}, "text": key}
        client.change(URI, number + 2, typed)
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


SEVERAL = """\
def area(width, height):
    return width * height


def volume(width, height, depth):
    return width * height * depth


def edge(width, height):
    return width + height


def half(width, height):
    return w"""


@pytest.mark.usefixtures("shared_cache")
def test_asking_by_hand_gives_distinct_texts_best_first() -> None:
    row, column = SEVERAL.count("\n"), len(SEVERAL.rpartition("\n")[2])
    with ServerProcess(command=REAL) as server:
        client = server.client
        client.initialize(initializationOptions={"show": "quiet", "deadline_ms": 60_000})
        wait_until_ready(client)
        client.open(URI, SEVERAL)
        typing = client.inline(URI, row, column)["items"]
        asked = client.result(client.ask_inline(URI, row, column, trigger_kind=1))["items"]
        texts = [item["insertText"] for item in asked]
        assert 2 <= len(texts) <= 5
        assert len(set(texts)) == len(texts)
        assert "idth * height" in texts
        assert len(typing) <= 1
        why = ask_why(client, URI)
        assert why["outcome"] == "shown"
        assert why["words"].startswith("a suggestion is shown (")
        assert why["candidates"][0]["text"] == texts[0]
        assert server.finish() == 0


@pytest.mark.usefixtures("shared_cache")
def test_silence_is_explained_for_the_document_that_is_named(tmp_path: Path) -> None:
    plain, secret = URI, "file:///w/.env.py"
    with ServerProcess(command=REAL) as server:
        client = server.client
        client.initialize(initializationOptions={"deadline_ms": 60_000})
        client.open(secret, "KEY = ")
        client.open(plain, "")
        client.inline(secret, 0, 6)
        client.inline(plain, 0, 0)
        assert ask_why(client, secret)["words"].startswith("this file is excluded: ")
        assert ask_why(client, plain)["outcome"] != "excluded file"
        assert ask_why(client)["words"] == ask_why(client, plain)["words"]
        never = ask_why(client, "file:///w/never.py")
        assert never["words"] == "the editor has not opened this document here"
        client.change(plain, 2, {"range": "none", "text": "x"})
        assert "could not be followed" in ask_why(client, plain)["words"]
        assert server.finish() == 0


ACCOUNT = """\
class Account:
    def withdraw_all_money(self, amount):
        return amount


def run(account):
    account.withdraw_all_money(3)
    account.withdraw_all_money(4)
"""


@pytest.mark.usefixtures("shared_cache")
def test_a_name_changed_in_another_document_is_not_suggested_any_more(tmp_path: Path) -> None:
    other = tmp_path.as_uri() + "/b.py"
    asked = tmp_path.as_uri() + "/a.py"
    with ServerProcess(command=REAL) as server:
        client = server.client
        client.initialize(
            rootUri=tmp_path.as_uri(),
            initializationOptions={"deadline_ms": 60_000, "show": "eager"},
        )
        wait_until_ready(client, is_indexed=True)  # documents of one folder see each other
        client.open(other, ACCOUNT)
        client.open(asked, "def work(account):\n    account.with")
        assert client.inline_text(asked, 1, 16).startswith("draw_all_money")
        client.change(other, 2, {"text": ACCOUNT.replace("withdraw_all_money", "without_delay")})
        assert client.inline_text(asked, 1, 16).startswith("out_delay")
        assert server.finish() == 0


def wait_until_ready(client: Client, *, is_indexed: bool = False) -> None:
    """Wait for the network: before that the index answers alone, and `why` says what is loading."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        status = client.call("workspace/executeCommand", {"command": "foretype.status"})
        states = [index["state"] for index in status["index"]]
        if status["engine"] == "ready" and (states == ["ready"] or not is_indexed):
            return
        assert time.monotonic() < end, status
        time.sleep(0.1)


def ask_why(client: Client, uri: str = "") -> Any:
    arguments = [{"uri": uri}] if uri else []
    command = {"command": "foretype.why", "arguments": arguments}
    return client.call("workspace/executeCommand", command)


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
        assert "nowhere" in ask_why(server.client, URI)["words"]
        assert server.finish() == 0


@pytest.mark.skipif(
    not (ROOT / "model" / "bundled" / "python" / "foretype.json").exists(),
    reason="this checkout has no bundled model",
)
@pytest.mark.usefixtures("shared_cache")
def test_bundled_model_suggests_while_a_person_types() -> None:
    with ServerProcess(command=REAL) as server:
        server.client.initialize(initializationOptions={"deadline_ms": 20_000})
        (item,) = first_items(server, "import os\n\nfor name in os.listdir(path):\n    print(na")
        assert item["insertText"].strip()
        assert server.finish() == 0


@pytest.mark.skipif(not without_network(), reason="a program cannot lose the network here")
def test_real_engine_where_there_is_no_network(tmp_path: Path) -> None:
    options = {"model": str(tiny_folder(tmp_path)), "deadline_ms": 60_000, "max_new_tokens": 4}
    with ServerProcess(command=[*without_network(), *REAL]) as server:
        server.client.initialize(initializationOptions=options)
        first_items(server, "x = 1\ny")
        status = server.client.call("workspace/executeCommand", {"command": "foretype.status"})
        assert (status["engine"], status["answered"]) == ("ready", 7)
        assert server.client.others.empty()
        assert server.finish() == 0


def test_server_reaches_for_no_network(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    program = WATCHED.format(asked=str(asked))
    options = {"model": str(tiny_folder(tmp_path)), "deadline_ms": 60_000, "max_new_tokens": 4}
    with ServerProcess(command=[sys.executable, "-c", program]) as server:
        server.client.initialize(initializationOptions=options)
        first_items(server, "x = 1\ny")
        assert server.finish() == 0
    ours = (
        "socket.connect(('127.0.0.1', 9),)\n"  # the watched program's own, to see that it is seen
    )
    assert asked.read_text(encoding="utf-8") == ours
