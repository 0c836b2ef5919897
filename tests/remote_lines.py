"""A transport to one server of the tests, and what there is to say of its flights."""

import json
import time
from typing import Any

from assistant.remote.backend import Question
from assistant.remote.errors import RemoteError, WithheldError
from assistant.remote.formats import backend_of
from assistant.remote.inflight import Call, Flight, Plan
from assistant.remote.settings import RemoteSettings
from assistant.remote.transport import Transport
from tests.remote_server import RemoteServer, Reply, remote_server

QUESTION = Question(
    prefix="def add(a, b):\n    return ", suffix="\n", language="python",
    max_new_tokens=16, single_line=True,
)  # fmt: skip


class Notes:
    """A watcher that writes down, and forbids on demand."""

    def __init__(self, forbid_from: int = 1_000_000) -> None:
        self.n_sending = 0
        self.outcomes: list[str] = []
        self.forbid_from = forbid_from

    def sending(self, flight: Flight) -> None:
        self.n_sending += 1
        if self.n_sending >= self.forbid_from:
            raise WithheldError("the budget is used up")

    def sent(self, flight: Flight, error: RemoteError | None, seconds: float) -> None:
        self.outcomes.append("ok" if error is None else error.kind)


class Line:
    """A transport to one server."""

    def __init__(self, url: str, notes: Notes | None = None, **changes: Any) -> None:
        table: dict[str, Any] = {
            "mode": "race", "provider": "openai", "url": url, "model": "m",
            "connect_s": 2.0, "read_s": 5.0, "total_s": 8.0,
        }  # fmt: skip
        self.settings = RemoteSettings(**(table | changes))
        self.notes = notes or Notes()
        self.transport = Transport(self.settings, self.notes, draw=lambda: 0.0)

    def start(self, *, single_line: bool = True) -> Flight:
        backend = backend_of(self.settings)
        self.body = json.dumps(backend.body(QUESTION)).encode()
        call = Call(
            url=self.settings.address + backend.path,
            headers={"content-type": "application/json", "accept-encoding": "identity"},
            body=self.body,
            single_line=single_line,
        )
        return self.transport.start(
            Plan(
                prepare=lambda: call,
                backend=backend,
                total_s=self.settings.total_s,
            )
        )

    def ask(self, *, single_line: bool = True) -> Flight:
        flight = self.start(single_line=single_line)
        end = time.monotonic() + 10
        flight.wait(end)
        while not flight.is_over:
            assert time.monotonic() < end
            time.sleep(0.002)
        return flight


def ask(lines: list[Line], reply: Reply, **changes: Any) -> tuple[Flight, RemoteServer, Notes]:
    with remote_server(reply) as server:
        line = Line(server.url, **changes)
        lines.append(line)
        return line.ask(), server, line.notes


def kind(flight: Flight) -> str:
    return flight.error.kind if flight.error else "ok"
