"""The same server on a TCP port of this machine."""

import re
import socket
import subprocess

import pytest

from tests.e2e.raw_client import TIMEOUT_S, ServerProcess, connect
from tests.e2e.scripted_server import mirror

pytestmark = pytest.mark.e2e

URI = "file:///w/a.py"


def place_of(server: ServerProcess) -> tuple[int, dict[str, str]]:
    """Return port and options of who may connect."""
    assert server.process.stderr is not None
    line = server.process.stderr.readline().decode()
    match = re.search(r"listening on 127\.0\.0\.1:(\d+), token (\S+)", line)
    assert match is not None, line
    return int(match[1]), {"token": match[2]}


def test_a_session_over_tcp() -> None:
    with ServerProcess("--tcp", "127.0.0.1:0", stderr=subprocess.PIPE) as server:
        port, options = place_of(server)
        silent = socket.create_connection(("127.0.0.1", port))
        connection, client = connect(port)
        with connection:
            client.initialize(initializationOptions=options)
            assert client.others.empty()  # the token is no unknown setting
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
        silent.close()


def test_closed_connection_ends_the_server() -> None:
    with ServerProcess("--tcp", "localhost:0", stderr=subprocess.PIPE) as server:
        port, options = place_of(server)
        connection, client = connect(port)
        client.initialize(initializationOptions=options)
        client.open(URI, "slow")
        client.ask_inline(URI, 0, 4)
        connection.shutdown(2)
        assert client.ended.wait(TIMEOUT_S)  # our own reader is done with the socket
        connection.close()
        assert server.process.wait(TIMEOUT_S) == 1
