"""What the tests of the remote side share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.remote_desk import Desk
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
