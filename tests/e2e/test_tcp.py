"""The same server on a TCP port of this machine."""

import re
import subprocess

import pytest

from tests.e2e.raw_client import TIMEOUT_S, ServerProcess, connect
from tests.e2e.scripted_server import mirror

pytestmark = pytest.mark.e2e

URI = "file:///w/a.py"


def port_of(server: ServerProcess) -> int:
    assert server.process.stderr is not None
    line = server.process.stderr.readline().decode()
    match = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
    assert match is not None, line
    return int(match[1])


def test_a_session_over_tcp() -> None:
    with ServerProcess("--tcp", "127.0.0.1:0", stderr=subprocess.PIPE) as server:
        connection, client = connect(port_of(server))
        with connection:
            client.initialize()
            client.open(URI, "x = é")
            assert client.inline_text(URI, 0, 5) == mirror("x = é")
            client.open(URI, "print\nslow")
            assert client.inline_text(URI, 0, 5) == mirror("print")
            old = client.ask_inline(URI, 1, 4)
            new = client.ask_inline(URI, 0, 2)
            assert client.result(old) is None
            assert client.result(new)["items"][0]["insertText"] == mirror("pr")
            assert client.call("shutdown") is None
            client.notify("exit")
            assert server.process.wait(TIMEOUT_S) == 0
            assert client.reading_error is None


def test_closed_connection_ends_the_server() -> None:
    with ServerProcess("--tcp", "localhost:0", stderr=subprocess.PIPE) as server:
        connection, client = connect(port_of(server))
        client.initialize()
        client.open(URI, "slow")
        client.ask_inline(URI, 0, 4)
        connection.shutdown(2)
        assert client.ended.wait(TIMEOUT_S)  # our own reader is done with the socket
        connection.close()
        assert server.process.wait(TIMEOUT_S) == 1
