"""Where the server may listen, and what it says otherwise."""

import socket
import threading

import pytest

from lsp.stdio import AddressError, accept, listen


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


def test_other_machines_are_let_in_only_on_request() -> None:
    with listen("0.0.0.0:0", allow_remote=True) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


def test_taken_port_is_explained() -> None:
    with listen("127.0.0.1:0") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match="cannot listen"):
            listen(f"127.0.0.1:{port}")


def test_host_may_be_left_out() -> None:
    with listen(":0") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_one_client_is_served_and_its_end_is_the_end() -> None:
    listener = listen("127.0.0.1:0")
    port = listener.getsockname()[1]
    received: list[bytes] = []

    def serve() -> None:
        channel = accept(listener)
        received.append(channel.read(100))
        channel.write(b"answer")
        received.append(channel.read(100))
        channel.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"question")
        assert connection.recv(100) == b"answer"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)
        # Closing with this option resets the connection, as a killed client's system may.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    thread.join(10)
    assert received == [b"question", b""]
