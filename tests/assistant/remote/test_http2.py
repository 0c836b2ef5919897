"""HTTP/2: a connection serves one question after the other; one that is stopped is hung up on."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
import trustme

from assistant.remote.inflight import InflightRequest
from tests.remote_lines import Line
from tests.remote_server import event


class Http2Server:
    """Answers each stream after `delay_s` seconds, or never; notes what it saw."""

    def __init__(self) -> None:
        self.port = 0
        self.n_connections = 0
        self.bodies: dict[int, bytes] = {}
        self.resets: list[int] = []
        self.hangs = threading.Event()  # set: streams are not answered
        self.n_closed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        base = self.n_connections * 1_000
        link = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        link.initiate_connection()
        writer.write(link.data_to_send())
        try:
            while data := await reader.read(65_536):
                for item in link.receive_data(data):
                    self._on(base, link, item)
                writer.write(link.data_to_send())
                await writer.drain()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self.n_closed += 1
            writer.transport.abort()

    def _on(self, base: int, link: Any, item: Any) -> None:
        if isinstance(item, h2.events.DataReceived):
            self.bodies[base + item.stream_id] = self.bodies.get(base + item.stream_id, b"") + (
                item.data
            )
            link.acknowledge_received_data(item.flow_controlled_length, item.stream_id)
        elif isinstance(item, h2.events.StreamReset):
            self.resets.append(base + item.stream_id)
        elif isinstance(item, h2.events.StreamEnded) and not self.hangs.is_set():
            headers = [(":status", "200"), ("content-type", "text/event-stream")]
            link.send_headers(item.stream_id, headers)
            table = {"choices": [{"text": "over h2", "finish_reason": "stop"}]}
            link.send_data(item.stream_id, event(table) + b"data: [DONE]\n\n", end_stream=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Http2Server, str]]:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols(["h2"])
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    own = Http2Server()
    loop = asyncio.new_event_loop()
    started = threading.Event()
    ended: list[asyncio.Event] = []

    async def run() -> None:
        ended.append(asyncio.Event())
        listener = await asyncio.start_server(own.serve, "127.0.0.1", 0, ssl=tls)
        own.port = listener.sockets[0].getsockname()[1]
        started.set()
        await ended[0].wait()
        listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.02)

    def work() -> None:
        loop.run_until_complete(run())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(10)
    yield own, str(ca_file)
    loop.call_soon_threadsafe(ended[0].set)
    thread.join(10)


@pytest.fixture
def line(server: tuple[Http2Server, str]) -> Iterator[Line]:
    own, ca_file = server
    line = Line(f"https://127.0.0.1:{own.port}", ca_file=ca_file)
    yield line
    line.transport.close()


def eventually(holds: Any) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def over(flight: InflightRequest) -> bool:
    return flight.is_over


def test_a_connection_serves_again(server: tuple[Http2Server, str], line: Line) -> None:
    own, _ = server
    assert [line.ask().text for _ in range(3)] == ["over h2"] * 3
    assert own.n_connections == 1
    assert all(json.loads(body)["model"] == "m" for body in own.bodies.values())


def test_a_question_alone_is_hung_up_on(server: tuple[Http2Server, str], line: Line) -> None:
    own, _ = server
    own.hangs.set()
    flight = line.start()
    eventually(lambda: own.bodies)
    flight.stop()
    eventually(lambda: own.n_closed == 1)
    eventually(lambda: over(flight))
    own.hangs.clear()
    assert line.ask().text == "over h2"


def test_stopping_one_leaves_the_other_alone(server: tuple[Http2Server, str], line: Line) -> None:
    own, _ = server
    own.hangs.set()
    first, second = line.start(), line.start()
    eventually(lambda: len(own.bodies) == 2)
    first.stop()
    eventually(lambda: own.n_closed == 1 and over(first))
    assert not over(second)
    second.stop()
    eventually(lambda: own.n_closed == 2 and over(second))
