"""The two ways to a client: standard streams, guarded, and one TCP connection.

Standard output is the protocol. Libraries print to it (onnxruntime does when a session fails), so
before anything else is imported it is moved to a private descriptor, and whatever is printed
afterwards goes to standard error.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Channel:
    """Bytes from and to one client; `read` returns b"" at the end, `write` writes all or raises."""

    read: Callable[[int], bytes]
    write: Callable[[bytes], None]
    close: Callable[[], None]


class AddressError(ValueError):
    """A listening address that is malformed or not allowed; the text says why."""


def guard_stdio() -> Channel:
    """Take standard input and output for the protocol; put /dev/null and stderr in their place."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # started with stderr closed
        os.dup2(null, 2)
        os.dup2(null, 1)
    os.close(null)

    def read(n_bytes: int) -> bytes:
        try:
            return os.read(source, n_bytes)
        except OSError:  # a terminal that has gone
            return b""

    def close() -> None:
        os.close(source)
        os.close(sink)

    return Channel(read, lambda data: _write_all(sink, data), close)


def listen(address: str, *, allow_remote: bool = False) -> socket.socket:
    """Listen on HOST:PORT; a host that other machines reach needs `allow_remote`."""
    import ipaddress  # costs start-up time, and most editors use standard streams

    host, separator, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise AddressError(f"{address!r} is not HOST:PORT")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise AddressError(f"cannot resolve host {host!r}: {error.strerror}") from error
    if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback and not allow_remote:
        raise AddressError(
            f"{host} can be reached from other machines and connections are neither "
            "encrypted nor checked; use 127.0.0.1, or add --allow-remote"
        )
    try:
        return socket.create_server((host, int(port)), family=family, backlog=1)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}") from error


def accept(listener: socket.socket) -> Channel:
    """Wait for the one client; the listener is closed, further clients are refused."""
    connection, _ = listener.accept()
    listener.close()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(n_bytes: int) -> bytes:
        try:
            return connection.recv(n_bytes)
        except ConnectionError:  # a client that dies resets the connection
            return b""

    return Channel(read, connection.sendall, connection.close)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
