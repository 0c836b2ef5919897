"""Killed while it indexes and counts, a server leaves all whole, and the next one serves."""

import os
import random
import time
from pathlib import Path

import pytest

from assistant import counts
from assistant.index.reader import open_view, read_manifest
from assistant.index.writer import index_folder
from tests.assistant.index.hammer import is_whole, text_of
from tests.e2e.raw_client import SCRIPTED, Client, ServerProcess
from tests.e2e.test_index import uri, wait_for
from tests.programs import is_running
from tests.rounds import count, shifted

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux to see children"),
]

N_KILLS = 3
NAMES = [f"{number}.py" for number in range(6)]
END_S = 60.0  # granted to a process that lost its parent, on a busy machine too


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


class Developer:
    """Takes suggestions and saves files, as fast as it goes."""

    def __init__(self, root: Path, dice: random.Random) -> None:
        self.root = root
        self.dice = dice
        self.n_versions = 0

    def save(self, client: Client) -> None:
        names = self.dice.sample(NAMES, 2)
        self.n_versions += 1
        for name in names:
            (self.root / "new").write_bytes(text_of(name, self.n_versions))
            (self.root / "new").replace(self.root / name)
        changes = [{"uri": uri(self.root / name), "type": 2} for name in names]
        client.notify("workspace/didChangeWatchedFiles", {"changes": changes})

    def take(self, client: Client) -> None:
        document = uri(self.root / "typed.py")
        client.open(document, "x = lines")
        taken = client.inline_text(document, 0, 9)
        at = {"line": 0, "character": 9}
        client.change(document, 2, {"range": {"start": at, "end": at}, "text": taken})
        client.notify("textDocument/didClose", {"textDocument": {"uri": document}})


def whole_counts() -> dict[str, int]:
    return {name: n for _, language, name, n in counts.read() if language == "python"}


def whole_texts(root: Path) -> dict[str, bytes]:
    read_manifest(index_folder(root))  # raises, where a reader takes a damaged one for none
    view = open_view(index_folder(root))
    assert view.damaged == ()
    texts = {
        path: opened.segment.text_of(number)
        for opened in view.opened
        for path, number in opened.files.items()
    }
    assert all(is_whole(text) for text in texts.values())
    return texts


def test_a_killed_server_leaves_all_whole(tmp_path: Path) -> None:
    developer = Developer(tmp_path / "work", random.Random(shifted(0)))
    developer.root.mkdir()
    for name in NAMES:
        (developer.root / name).write_bytes(text_of(name, 0))
    n_counted, n_indexed = 0, 0
    for number in range(N_KILLS + 1):
        with ServerProcess(command=[*SCRIPTED, "--hasty"]) as server:
            client = server.client
            client.initialize(rootUri=uri(developer.root))
            if number == N_KILLS:  # the last one lives
                wait_for(client, lambda index: index["state"] == "ready")
                developer.take(client)
                assert server.finish() == 0
                break
            end_s = time.monotonic() + developer.dice.uniform(0.1, 2.0)
            is_under_way = False  # something was counted, and in the end something indexed
            while time.monotonic() < end_s or not is_under_way:
                developer.save(client)
                developer.take(client)
                texts, n_shown = whole_texts(developer.root), whole_counts().get("shown", 0)
                is_under_way = n_shown > n_counted and (number == 0 or len(texts) > 0)
            n_counted = n_shown
            builders = children(server.process.pid)
            known = whole_counts()
            if builders and developer.dice.random() < 0.5:
                os.kill(builders[0], 9)
            server.process.kill()
            server.process.wait()
        count(1)
        left = whole_counts()
        assert [name for name, n in known.items() if left[name] < n] == []
        n_indexed += len(whole_texts(developer.root))
        end_s = time.monotonic() + END_S
        while any(map(is_running, builders)):
            assert time.monotonic() < end_s, "the process that builds the index goes on"
            time.sleep(0.02)
    assert n_indexed > 0
    on_disk = {name: (developer.root / name).read_bytes() for name in NAMES}
    assert whole_texts(developer.root) == on_disk
    assert not [*index_folder(developer.root).glob(".*.tmp")]
