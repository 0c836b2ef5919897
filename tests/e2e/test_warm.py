"""`foretype complete --warm` shows what an editor shows, with the real model and an index."""

import socket
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from assistant import warm
from model.paths import config_folder
from tests.e2e.raw_client import ROOT, ServerProcess
from tests.programs import run_program
from tests.repositories import new_repository

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.usefixtures("shared_cache"),
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no such sockets on this system"),
]

WAIT_S = 120.0
FORETYPE = [sys.executable, str(ROOT / "foretype.py")]
CALL = "hippopotamus_of_the_nile(number=1, colour=2)\n"
FILES = {"zoo.py": CALL * 3, "more.py": f"def walk():\n    {CALL}    return {CALL}"}
TEXT = "import zoo\n\nhippopot\nx = [hippopotamus_of_]\nfor number in ra\nwhile Tr\n"
PLACES = [(3, 8), (4, 21), (5, 16), (6, 8), (1, 10)]  # line from 1, characters before the cursor


def test_text_is_that_of_the_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = new_repository(tmp_path / "r", {**FILES, "main.py": TEXT})
    settings = config_folder() / "settings.toml"
    settings.parent.mkdir(parents=True)
    # Snippets come when they have been read, in the background: not at a known time.
    settings.write_text('show = "eager"\nsnippets = false\ndeadline_ms = 60000\n')
    in_editor = ask_server(root)
    monkeypatch.chdir(root)
    try:
        warmed = [ask_warm(f"main.py:{line}:{column + 1}") for line, column in PLACES]
    finally:
        warm.leave()
    assert warmed == in_editor
    assert sum(text != "" for text in warmed) >= 2


def ask_server(root: Path) -> list[str]:
    uri = "file://" + quote(str(root / "main.py"))
    with ServerProcess(command=[*FORETYPE, "lsp"]) as server:
        client = server.client
        client.initialize(rootUri="file://" + quote(str(root)))
        client.open(uri, TEXT)
        end = time.monotonic() + WAIT_S
        while True:
            status = client.call("workspace/executeCommand", {"command": "foretype.status"})
            (index,) = status["index"]
            if status["engine"] == "ready" and index["state"] == "ready":
                break
            assert time.monotonic() < end, status
            time.sleep(0.05)
        assert index["files"] == len(FILES) + 1
        found = [client.inline(uri, line - 1, column)["items"] for line, column in PLACES]
        assert server.finish() == 0
    return [items[0]["insertText"] if items else "" for items in found]


def ask_warm(place: str) -> str:
    command = [*FORETYPE, "complete", "--warm", place]
    done = run_program(command, cwd=Path.cwd(), timeout=WAIT_S)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.removesuffix("\n")
