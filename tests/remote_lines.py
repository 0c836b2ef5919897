"""A transport to one server of the tests, and what there is to say of its requests."""

import time
from typing import Any

from assistant.remote.errors import RemoteError
from assistant.remote.inflight import InflightRequest
from assistant.remote.payload import build_payload
from assistant.remote.request_guard import build_headers
from assistant.remote.settings import RemoteSettings
from assistant.remote.transport import Transport
from assistant.request import CompletionRequest
from tests.remote_server import RemoteServer, Reply, remote_server

TEXT = "def add(a, b):\n    return \n"
REQUEST = CompletionRequest(path="a.py", text=TEXT, offset=len(TEXT) - 1)


class Notes:
    """A guard that writes down, and forbids on demand."""

    def __init__(self, forbid_from: int = 1_000_000) -> None:
        self.n_allowed = 0
        self.outcomes: list[str] = []
        self.forbid_from = forbid_from

    def prepare(self, inflight: InflightRequest) -> None:
        inflight.payload = build_payload(inflight.request, inflight.settings, single_line=True)
        inflight.headers = build_headers(inflight.settings, "")

    def allow(self, inflight: InflightRequest) -> None:
        self.n_allowed += 1
        if self.n_allowed >= self.forbid_from:
            raise RemoteError("withheld", "the budget is used up")

    def record(self, inflight: InflightRequest, error: RemoteError | None, seconds: float) -> None:
        self.outcomes.append("ok" if error is None else error.kind)


class Line:
    """A transport to one server."""

    def __init__(self, url: str, notes: Notes | None = None, **changes: Any) -> None:
        table: dict[str, Any] = {
            "mode": "race", "provider": "openai", "url": url, "model": "m",
            "connect_s": 60.0, "read_s": 60.0, "total_s": 120.0,
        }  # fmt: skip
        self.settings = RemoteSettings(**(table | changes))
        self.notes: Any = notes or Notes()
        self.transport = Transport(self.settings, self.notes)

    def start(self) -> InflightRequest:
        inflight = InflightRequest(REQUEST, self.settings, blocks=False)
        self.transport.start(inflight)
        return inflight

    def ask(self) -> InflightRequest:
        return self.finish(self.start())

    def finish(self, inflight: InflightRequest) -> InflightRequest:
        """Wait until its thread is done."""
        end = time.monotonic() + 60
        while not inflight.is_over or self.transport._inflight:
            assert time.monotonic() < end
            time.sleep(0.002)
        return inflight


def ask(
    lines: list[Line], reply: Reply, **changes: Any
) -> tuple[InflightRequest, RemoteServer, Notes]:
    with remote_server(reply) as server:
        line = Line(server.url, **changes)
        lines.append(line)
        return line.ask(), server, line.notes


def kind(flight: InflightRequest) -> str:
    """What came of it, or what will: the thread of one that was halted may still be busy."""
    error = flight.error or (None if flight.is_whole else flight.halted)
    return error.kind if error else "ok"
