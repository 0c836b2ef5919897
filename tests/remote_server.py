"""A strict little HTTP server on loopback that misbehaves on demand, and writes down what it got.

It speaks on plain sockets, so a fault is exactly what goes over the wire. A reply is a list of
steps: bytes to send, seconds to wait, or a word: "close", "reset", "hang", "drip".
"""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Step = bytes | float | str
Reply = Sequence[Step]


@dataclass
class Received:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float
    connection: int
    closed_s: float = 0.0  # when the client was seen to leave while we were replying
    sent: int = 0  # bytes of the reply so far

    @property
    def table(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass
class RemoteServer:
    """Replies by turns: the last reply of the list again and again."""

    replies: list[Reply | Callable[[Received], Reply]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    port: int = 0
    n_connections: int = 0
    n_open: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def wait_closed(self, n: int = 0, timeout_s: float = 5.0) -> Received:
        """Return request `n` once the client has hung up on it."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if len(self.received) > n and self.received[n].closed_s:
                return self.received[n]
            time.sleep(0.005)
        raise AssertionError("the client did not hang up")

    def wait_received(self, n: int = 1, timeout_s: float = 5.0) -> None:
        end = time.monotonic() + timeout_s
        while len(self.received) < n:
            assert time.monotonic() < end, f"{len(self.received)} of {n} requests came"
            time.sleep(0.002)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        self.n_open += 1
        number = self.n_connections
        self._writers.add(writer)
        try:
            while (request := await _request(reader, number)) is not None:
                self.received.append(request)
                if not await self._reply(request, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            return  # the test is over; asyncio would print this one's traceback
        finally:
            self.n_open -= 1
            writer.close()

    async def _reply(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send a reply; say whether the connection goes on."""
        turn = min(len(self.received), len(self.replies)) - 1
        reply = self.replies[turn]
        gone = asyncio.ensure_future(_gone(reader))
        work = asyncio.ensure_future(
            _play(reply(request) if callable(reply) else reply, writer, request)
        )
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                request.closed_s = time.monotonic()
                return False
            return work.result()
        finally:
            for task in (gone, work):
                task.cancel()
            await asyncio.gather(gone, work, return_exceptions=True)


async def _gone(reader: asyncio.StreamReader) -> None:
    """Return when the client has hung up; it never pipelines."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110  (no event for it)
        await asyncio.sleep(0.002)


async def _play(reply: Reply, writer: asyncio.StreamWriter, request: Received) -> bool:
    """Send the steps; say whether the connection goes on."""
    for step in reply:
        if isinstance(step, bytes):
            writer.write(step)
            request.sent += len(step)
            await writer.drain()
        elif isinstance(step, float | int):
            await asyncio.sleep(step)
        elif step in ("close", "reset"):
            if step == "reset":
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return False
        else:
            data, pause = _ENDLESS[step]
            while True:
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(pause)
    return True


_ENDLESS = {
    "hang": (b"", 3_600.0),
    "drip": (b":\n", 0.02),
    "flood": (b":" + b"x" * 60_000 + b"\n", 0.0),
    "blanks": (b"2000\r\n" + b"data: \n\n" * 1_024 + b"\r\n", 0.0),
    "pieces": (b'28\r\ndata: {"choices": [{"text": "xxxxxx"}]}\n\r\n' * 100, 0.0),
    "hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0.001),
}


async def _request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = await reader.readline()
        if not line:
            return None
        head += line
    first, *lines = head.decode("ascii").split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Received(method, path, headers, body, time.monotonic(), connection)


@contextmanager
def remote_server(
    *replies: Reply | Callable[[Received], Reply], tls: ssl.SSLContext | None = None
) -> Iterator[RemoteServer]:
    """Serve on a port of loopback, on a thread of its own."""
    server = RemoteServer(list(replies), tls=tls)
    loop = asyncio.new_event_loop()
    started = threading.Event()
    ended: list[asyncio.Event] = []

    async def run() -> None:
        ended.append(asyncio.Event())
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        started.set()
        await ended[0].wait()
        for _ in range(10):  # one that is being accepted while the listener closes stays open
            await asyncio.sleep(0)
        listener.close()
        server.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # what was aborted is closed by callbacks

    def work() -> None:
        loop.run_until_complete(run())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended[0].set)
        thread.join(10)


def head(status: str = "200 OK", kind: str = "text/event-stream", extra: str = "") -> bytes:
    """A head for a body in chunks."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{extra}\r\n"
    ).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


END = b"0\r\n\r\n"


def plain(status: str, body: bytes = b"", extra: str = "", kind: str = "application/json") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    ).encode() + body


def event(table: object) -> bytes:
    return f"data: {json.dumps(table)}\n\n".encode()


def completion(*texts: str, usage: tuple[int, int] | None = (10, 3)) -> list[Step]:
    """An OpenAI-like stream: the steps of a well-behaved reply."""
    steps: list[Step] = [head()]
    steps += [chunk(event({"choices": [{"text": text}]})) for text in texts]
    steps.append(chunk(event({"choices": [{"text": "", "finish_reason": "stop"}]})))
    if usage is not None:
        told = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        steps.append(chunk(event({"choices": [], "usage": told})))
    return [*steps, chunk(b"data: [DONE]\n\n"), END]
