"""A sender to one server of the tests, and what there is to say of its requests."""

import contextlib
import ssl
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.payload import FilePolicy
from assistant.remote.sender import Sender
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from model.paths import state_folder
from tests.remote_server import RemoteServer, Reply, remote_server
from tests.waiting import wait_for

TEXT = "def add(a, b):\n    return \n"
REQUEST = CompletionRequest(path="a.py", text=TEXT, offset=len(TEXT) - 1)


class Line:
    """A sender to one server."""

    def __init__(self, url: str, **changes: Any) -> None:
        table: dict[str, Any] = {
            "mode": "race", "provider": "openai", "url": url, "model": "m",
            "send_code_to": urlsplit(url).hostname,
            "connect_s": 60.0, "read_s": 60.0, "total_s": 120.0,
        }  # fmt: skip
        self.settings = RemoteSettings(**(table | changes))
        self.ledger = Ledger(state_folder())
        files = FilePolicy(settings=self.settings, locate=lambda _: Path(__file__))
        self.sender = Sender(self.settings, files, self.ledger)
        self.sender._times = deque()  # any number a minute

    @property
    def outcomes(self) -> list[str]:
        """What came of the requests so far."""
        return [row["outcome"] for row in self.ledger.rows()]

    def start(self) -> InflightRequest:
        inflight = InflightRequest(REQUEST, self.settings, single_line=True)
        assert self.sender.start(inflight)
        return inflight

    def ask(self) -> InflightRequest:
        return self.finish(self.start())

    def finish(self, inflight: InflightRequest) -> InflightRequest:
        """Wait until its thread is done."""
        wait_for(lambda: inflight.is_over and not self.sender._inflight)
        return inflight


@contextlib.contextmanager
def connected(
    lines: list[Line], *replies: Any, tls: ssl.SSLContext | None = None, **changes: Any
) -> Iterator[tuple[Line, RemoteServer]]:
    """Yield a line to a server that replies so; `lines` sees to its end."""
    with remote_server(*replies, tls=tls) as server:
        lines.append(line := Line(server.url, **changes))
        yield line, server


def ask(
    lines: list[Line], reply: Reply, **changes: Any
) -> tuple[InflightRequest, RemoteServer, list[str]]:
    with connected(lines, reply, **changes) as (line, server):
        return line.ask(), server, line.outcomes


def kind(flight: InflightRequest) -> str:
    """What came of it, or what will: the thread of one that was halted may still be busy."""
    error = flight.error or (None if flight.is_whole else flight.halted)
    return error.kind if error else "ok"
