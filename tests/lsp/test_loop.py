"""Messages are handled one by one; reading waits for who is behind."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

from lsp.framing import MAX_WAITING as MOST_UNSENT
from lsp.framing import Outbox
from lsp.protocol import MAX_WAITING as MOST_READ
from lsp.protocol import serve
from lsp.server import create_server
from lsp.session import Session
from tests.e2e.scripted_server import ScriptedEngine

URI = "file:///w/a.py"
DOCUMENT = {"uri": URI, "languageId": "python", "version": 1, "text": "x = slow"}
TIMEOUT_S = 10.0


class Wire:
    """The client's end."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def results(self) -> dict[Any, Any]:
        bodies = self.data.split(b"Content-Length: ")[1:]
        messages = [json.loads(body.partition(b"\r\n\r\n")[2]) for body in bodies]
        return {message["id"]: message.get("result", message.get("error")) for message in messages}


def message(method: str, params: Any = None, **rest: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params, **rest}


def ask(number: int, character: int) -> dict[str, Any]:
    place = {"line": 0, "character": character}
    params = {"textDocument": {"uri": URI}, "position": place}
    return message("textDocument/inlineCompletion", params, id=number)


BEGIN = [
    message("initialize", {"capabilities": {}}, id=0),
    message("textDocument/didOpen", {"textDocument": DOCUMENT}),
]


def served(values: Iterator[Any]) -> dict[Any, Any]:
    """What the client gets for these messages."""
    wire = Wire()
    outbox = Outbox(wire.write, lambda: None)
    session = Session(outbox.put, open_engine=lambda _: ScriptedEngine())
    server = create_server(session)
    asyncio.run(serve(server.protocol, values, outbox))
    session.scheduler.stop(TIMEOUT_S)
    outbox.close(TIMEOUT_S)
    return wire.results()


def test_request_begins_before_the_next_message_is_handled() -> None:
    close = message("textDocument/didClose", {"textDocument": {"uri": URI}})
    results = served(iter([*BEGIN, ask(1, 8), close, message("exit")]))
    assert results[1] is None  # outdated; an empty list if it had found the document closed


def test_requests_under_way_are_answered_when_all_ends() -> None:
    results = served(iter([*BEGIN, ask(1, 8), message("shutdown", id=2), message("exit")]))
    assert results[1]["code"] == -32800
    assert results[2] is None


def test_end_of_input_is_the_end() -> None:
    assert 0 in served(iter(BEGIN))


class Stuck:
    """A protocol whose first message takes until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.is_exiting = False
        self.n_handled = 0

    def set_writer(self, *_: Any, **__: Any) -> None:
        """Nothing to do."""

    def receive(self, _: Any) -> None:
        assert self.go_on.wait(TIMEOUT_S)
        self.n_handled += 1


def n_read_while_stuck(protocol: Any, outbox: Outbox, n_values: int) -> int:
    """How many values are taken before anything moves; all are in the end."""
    n_read = 0

    def values() -> Iterator[int]:
        nonlocal n_read
        for number in range(n_values):
            n_read += 1
            yield number

    thread = threading.Thread(target=lambda: asyncio.run(serve(protocol, values(), outbox)))
    thread.start()
    thread.join(0.3)
    n_before = n_read
    protocol.go_on.set()
    thread.join(TIMEOUT_S)
    assert (n_read, protocol.n_handled) == (n_values, n_values)
    return n_before


def test_reading_waits_for_the_loop() -> None:
    outbox = Outbox(lambda _: None, lambda: None)
    assert n_read_while_stuck(Stuck(), outbox, 5 * MOST_READ) <= MOST_READ + 2
    outbox.close(TIMEOUT_S)


def test_reading_waits_for_a_client_that_does_not_read() -> None:
    protocol = Stuck()
    outbox = Outbox(lambda _: assert_(protocol.go_on.wait(TIMEOUT_S)), lambda: None)
    for _ in range(MOST_UNSENT + 1):
        outbox.put({})
    assert n_read_while_stuck(protocol, outbox, 50) == 1
    outbox.close(TIMEOUT_S)


def assert_(is_true: bool) -> None:
    assert is_true


def test_fault_in_handling_is_one_line_and_not_the_end(caplog: Any) -> None:
    class Faulty(Stuck):
        def receive(self, value: Any) -> None:
            self.n_handled += 1
            raise ValueError("secret")

    outbox = Outbox(lambda _: None, lambda: None)
    n_read_while_stuck(Faulty(), outbox, 3)
    outbox.close(TIMEOUT_S)
    assert len(caplog.records) == 3
    assert "secret" not in caplog.text
