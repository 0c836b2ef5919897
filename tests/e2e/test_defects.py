"""Measured defects of the libraries that language servers in Python are built on, kept mended.

The names D2 to D8 are those of the list in which they were found. Where the fault is cheap to show
in pygls itself, a control shows it, so that these tests are known to bite.
"""

import asyncio
import json
import random
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pygls.io_ import run_async
from pygls.protocol import JsonRPCProtocol

from tests.e2e.raw_client import TIMEOUT_S, ServerProcess, framed
from tests.e2e.scripted_server import NOISE_LINES, mirror
from tests.lsp.edit_model import SEPARATORS

pytestmark = pytest.mark.e2e

URI = "file:///w/a.py"
ODD_HEADERS = [
    b"content-length: %d\r\n\r\n",
    b"Content-Length: %d\n\n",
    b"Content-Length:  %d\r\n\r\n",
]
KILLING_HEADERS = [
    b"Content-Length: 1000000000000\r\n\r\n",
    b"Content-Length: %s\r\n\r\n" % (b"9" * 5000),
]
PIPE_BYTES = 65536


class Deaf(JsonRPCProtocol):
    """Counts what pygls's reader hands on."""

    def __init__(self) -> None:
        self.n_handled = 0

    def structure_message(self, data: Any) -> Any:
        return data

    def handle_message(self, message: Any) -> None:
        self.n_handled += 1


def pygls_handles(data: bytes) -> int:
    """How many messages pygls's own reader finds in `data`."""
    protocol = Deaf()

    async def feed() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        await run_async(threading.Event(), reader, protocol)

    asyncio.run(feed())
    return protocol.n_handled


def answers_after(server: ServerProcess, data: bytes, n_requests: int = 20) -> None:
    """Send `data`, then good requests, all of which must be answered."""
    server.client.send_bytes(data)
    for _ in range(n_requests):
        assert server.client.inline_text(URI, 0, 3) == mirror("x =")


def test_d2_odd_headers_do_not_deafen_the_server(server: ServerProcess) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "initialized", "params": {}}).encode()
    server.client.initialize()
    server.client.open(URI, "x = ")
    for header in ODD_HEADERS:
        answers_after(server, header % len(body) + body)
    assert server.client.others.empty()
    assert server.finish() == 0


@pytest.mark.parametrize("header", ODD_HEADERS)
def test_d2_control_they_deafen_the_library(header: bytes) -> None:
    body = b'{"jsonrpc":"2.0","method":"x"}'
    assert pygls_handles(framed(body) * 3) == 3
    assert pygls_handles(header % len(body) + body + framed(body) * 20) < 21


@pytest.mark.parametrize("header", KILLING_HEADERS, ids=["huge length", "endless digits"])
def test_d3_one_header_does_not_kill_the_server(server: ServerProcess, header: bytes) -> None:
    server.client.initialize()
    server.client.open(URI, "x = ")
    answers_after(server, header)
    refusal = server.client.others.get(timeout=TIMEOUT_S)
    assert (refusal["id"], refusal["error"]["code"]) == (None, -32700)
    assert server.client.others.empty()
    assert server.finish() == 0


def test_d3_control_it_kills_the_library() -> None:
    with pytest.raises(ValueError, match="digits"):
        pygls_handles(KILLING_HEADERS[1])


BAD_PARAMS: list[Any] = [
    None,
    [],
    {},
    {"textDocument": {"uri": URI}},
    {"textDocument": {"uri": 5}, "position": {"line": 0, "character": 0}},
    {"textDocument": {"uri": URI}, "position": {"line": -1, "character": 0}},
    {"textDocument": {"uri": URI}, "position": {"line": "0", "character": 0}},
    {"textDocument": {"uri": URI}, "position": {"line": 0.5, "character": True}},
    {"textDocument": URI, "position": []},
]


def test_d4_every_bad_request_is_answered_and_nothing_pops_up() -> None:
    with ServerProcess(stderr=subprocess.PIPE) as server:
        client = server.client
        client.initialize()
        client.open(URI, "x = ")
        for params in BAD_PARAMS:
            error = client.reply(client.ask("textDocument/inlineCompletion", params))["error"]
            assert error["code"] == -32602
        assert client.reply(client.ask("no/such/method"))["error"]["code"] == -32601
        for body in (b"{", b"\xff\xff", b"[" * 50_000, b'{"id": 1' + b"0" * 5000):
            answers_after(server, framed(body), 1)
            refusal = client.others.get(timeout=TIMEOUT_S)
            assert (refusal["id"], refusal["error"]["code"]) == (None, -32700)
        client.send_bytes(framed(b'[{"jsonrpc":"2.0","id":"b","method":"shutdown"},5]'))
        refused = [client.others.get(timeout=TIMEOUT_S) for _ in range(2)]
        assert [(part["id"], part["error"]["code"]) for part in refused] == [
            ("b", -32600),
            (None, -32600),
        ]
        assert client.others.empty()
        assert server.finish() == 0
        assert server.process.stderr is not None
        n_lines = len(server.process.stderr.read().splitlines())
        assert n_lines == len(BAD_PARAMS) + 1 + 4 + 2  # one each


def test_d5_undrained_stderr_does_not_stop_the_server() -> None:
    with ServerProcess("-v", stderr=subprocess.PIPE) as server:
        client = server.client
        client.initialize()
        client.open(URI, "noise")
        assert NOISE_LINES * 100 > 4 * PIPE_BYTES
        assert client.inline_text(URI, 0, 5) == mirror("noise")
        for _ in range(1000):
            client.send_bytes(framed(b"{"))
        assert client.inline_text(URI, 0, 3) == mirror("noi")
        assert server.finish() == 0


@pytest.mark.parametrize("separators", ["".join(SEPARATORS)])
def test_d6_only_the_protocol_s_line_ends_split_lines(
    server: ServerProcess, separators: str
) -> None:
    client = server.client
    client.initialize()
    client.open(URI, "".join(f"a{char}b\n" for char in separators) + "last = 1\n")
    place = {"line": len(separators), "character": 8}
    end = {"start": place, "end": place}
    client.change(URI, 2, {"range": end, "text": "0"})
    assert client.inline_text(URI, len(separators), 9) == mirror("last = 10")


def test_d8_what_a_library_prints_does_not_reach_the_client() -> None:
    with ServerProcess(stderr=subprocess.PIPE) as server:
        client = server.client
        client.initialize()
        client.open(URI, "print")
        assert client.inline_text(URI, 0, 5) == mirror("print")
        assert client.inline_text(URI, 0, 2) == mirror("pr")
        assert server.finish() == 0
        assert client.ended.wait(TIMEOUT_S)
        assert client.reading_error is None
        assert server.process.stderr is not None
        printed = server.process.stderr.read()
        assert b"printed by a library" in printed
        assert b"Content-Length: 2" in printed


NOTIFICATIONS = [
    "textDocument/didOpen",
    "textDocument/didChange",
    "textDocument/didClose",
    "workspace/didChangeConfiguration",
    "workspace/didChangeWorkspaceFolders",
    "$/cancelRequest",
    "$/x",
    "initialized",
]


class Vandal:
    """Makes malformed messages; remembers which ids can be read from them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.readable: list[str] = []
        self._n_made = 0
        self._kinds: list[Callable[[], bytes]] = [
            self.noise,
            self.cut,
            self.wrong_length,
            self.bad_header,
            self.bad_json,
            self.odd_values,
            self.odd_values,
            self.odd_notification,
        ]

    def message(self) -> bytes:
        return self.dice.choice(self._kinds)()

    def body(self, **changes: Any) -> bytes:
        position = {"line": 0, "character": 3}
        params = {"textDocument": {"uri": URI}, "position": position}
        message = {"jsonrpc": "2.0", "method": "textDocument/inlineCompletion", "params": params}
        return json.dumps({**message, **changes}).encode()

    def value(self) -> Any:
        return self.dice.choice(
            [
                None,
                True,
                -1,
                1.5,
                1e308,
                "",
                "x" * 2000,
                [],
                {},
                [[]],
                {"a": {}},
                float("nan"),
                "\ud800",
            ]
        )

    def noise(self) -> bytes:
        return self.dice.randbytes(self.dice.randint(1, 300))

    def cut(self) -> bytes:
        data = framed(self.body(id="cut"))
        return data[: self.dice.randint(1, len(data) - 1)]

    def wrong_length(self) -> bytes:
        body = self.body(id="wrong")
        error = self.dice.choice([-100, -5, -1, 1, 5, 100, 5000, 65536, 10**10, 10**40])
        return b"Content-Length: %d\r\n\r\n" % (len(body) + error) + body

    def bad_header(self) -> bytes:
        header = self.dice.choice(
            [b"Content-Length\r\n\r\n", b"Length: 5\r\n\r\n", b"\r\n\r\n", b": 5\r\n"]
        )
        return header + self.body(id="header")

    def bad_json(self) -> bytes:
        body = bytearray(self.body())
        body[self.dice.randrange(len(body))] = self.dice.choice(b'{}[]",:\\\xff\x00')
        return framed(
            self.dice.choice([bytes(body), b"[" * 20_000, b"", b"null", b"[]", b"\xef\xbb\xbf{}"])
        )

    def odd_values(self) -> bytes:
        self._n_made += 1
        name = f"odd {self._n_made}"
        self.readable.append(name)
        field = self.dice.choice(["method", "params"])
        method = self.dice.choice(
            ["initialize", "textDocument/completion", "workspace/executeCommand", "x"]
        )
        return framed(self.body(**{"id": name, "method": method, field: self.value()}))

    def odd_notification(self) -> bytes:
        method = self.dice.choice(NOTIFICATIONS)
        return framed(self.body(method=method, params=self.value()))


N_BAD = 2000


def test_two_thousand_malformed_messages_cost_no_good_one() -> None:
    vandal = Vandal(seed=7)
    with tempfile.TemporaryFile() as stderr, ServerProcess(stderr=stderr.fileno()) as server:
        client = server.client
        client.initialize()
        client.open(URI, "x = ")
        for number in range(1, N_BAD + 1):
            client.send_bytes(vandal.message())
            if number % 50 == 0:
                assert client.inline_text(URI, 0, 3) == mirror("x ="), f"after {number}"
        assert server.finish() == 0
        assert client.ended.wait(TIMEOUT_S)
        replies = list(client.others.queue)
        assert [reply for reply in replies if "method" in reply] == []  # no pop-ups
        counts = Counter(reply["id"] for reply in replies)
        wanted = dict.fromkeys(vandal.readable, 1)
        assert {name: counts[name] for name in vandal.readable} == wanted
        assert stderr.seek(0, 2) <= 200 * N_BAD
