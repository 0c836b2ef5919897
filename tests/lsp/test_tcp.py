"""Where the server may listen, what it says otherwise, and whom it lets in."""

import json
import socket
import threading

import pytest

from lsp.framing import frame
from lsp.tcp import MAX_STRANGERS, AddressError, accept, choose_token, knows_token, listen

TOKEN = "a token that nobody guesses"


def greeting(token: object = TOKEN, method: str = "initialize") -> bytes:
    params = {"capabilities": {}, "initializationOptions": {"token": token}}
    return frame(json.dumps({"id": 1, "method": method, "params": params}).encode())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("4000", "'4000' is not HOST:PORT"),
        ("localhost:", "is not HOST:PORT"),
        ("localhost:http", "is not HOST:PORT"),
        ("localhost:70000", "is not HOST:PORT"),
        ("127.0.0.1:٣", "is not HOST:PORT"),
        ("0.0.0.0:0", "can be reached from other machines"),
        ("[::]:0", "can be reached from other machines"),
        ("no such host:1", "cannot resolve host"),
    ],
)
def test_wrong_address_is_explained(address: str, message: str) -> None:
    with pytest.raises(AddressError, match=message):
        listen(address)


def test_taken_port_is_explained() -> None:
    with listen("127.0.0.1:0") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match="cannot listen"):
            listen(f"127.0.0.1:{port}")


def test_host_may_be_left_out() -> None:
    with listen(":0") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_token_is_new_each_time_or_the_user_s() -> None:
    assert choose_token("") != choose_token("")
    assert choose_token(TOKEN) == TOKEN
    with pytest.raises(AddressError, match="at least"):
        choose_token("short")


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"G",
        greeting("another token than the one"),
        greeting(None),
        greeting(method="shutdown"),
        greeting().replace(b"Content-Length: 1", b"Content-Length: 9999991"),
        frame(b"[]"),
        frame(b"\xff"),
        frame(b"[" * 100_000),
        frame(b'{"method":"initialize","params":{}}'),
        b"content-type: " + b"x" * 10_000,
    ],
)
def test_who_begins_otherwise_is_sent_away(data: bytes) -> None:
    assert knows_token(data, TOKEN) is False


def test_a_greeting_is_known_once_it_is_whole() -> None:
    whole = greeting()
    assert [knows_token(whole[:n], TOKEN) for n in range(len(whole))] == [None] * len(whole)
    assert knows_token(whole + b"more", TOKEN) is True


def test_one_client_is_served_whoever_else_is_there() -> None:
    listener = listen("127.0.0.1:0")
    address = listener.getsockname()[:2]
    received: list[bytes] = []

    def serve() -> None:
        channel = accept(listener, TOKEN)
        size = len(greeting())
        received.append(channel.read(size))
        received.append(channel.read(100))
        channel.write(b"answer")
        received.append(channel.read(100))
        channel.close()

    thread = threading.Thread(target=serve)
    thread.start()
    silent = [socket.create_connection(address, timeout=10) for _ in range(MAX_STRANGERS + 4)]
    page = socket.create_connection(address, timeout=10)
    page.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    assert _answer(page) == b""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(greeting() + b"question")
        assert connection.recv(100) == b"answer"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        # Closing with this option resets the connection, as a killed client's system may.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    thread.join(10)
    assert received == [greeting(), b"question", b""]
    for stranger in (page, *silent):
        assert _answer(stranger) == b""
        stranger.close()


def _answer(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionError:
        return b""
