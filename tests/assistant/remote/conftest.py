"""What the tests of the remote side share."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.remote_desk import Desk
from tests.remote_lines import Line
from tests.remote_server import remote_server


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []
    exits: list[Any] = []

    def opener(*replies: Any, **changes: Any) -> Desk:
        context = remote_server(*replies)
        desk = Desk(tmp_path, context.__enter__(), **changes)
        opened.append(desk)
        exits.append(context)
        return desk

    yield opener
    for desk in opened:
        desk.remote.close(20.0)  # a loaded machine takes longer than a user would wait
    for context in exits:
        context.__exit__(None, None, None)


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    opened: list[Line] = []
    yield opened
    for line in opened:
        line.sender.close()
    end = time.monotonic() + 20  # a loaded machine takes longer than closing waits for
    while left := [each for each in threading.enumerate() if each.name.startswith("remote")]:
        assert time.monotonic() < end, left
        time.sleep(0.01)
