"""The other way to a client: one TCP connection, of whoever knows the server's token.

Other programs and users of a machine reach its ports, and so do pages in its browsers. A connection
must begin as the protocol does, with a header and `initialize`, and that must hold the token in its
initializationOptions; all others are closed without an answer. None is waited for.
"""

import hmac
import io
import json
import secrets
import selectors
import socket
from typing import Any

from lsp.framing import CHUNK_BYTES, MAX_LINE_BYTES, Channel, Malformed, MessageReader
from lsp.settings import TOKEN_OPTION, section_of

TOKEN_VARIABLE = "FORETYPE_TCP_TOKEN"  # noqa: S105  a name
MIN_TOKEN_CHARS = 16
MAX_STRANGERS = 16  # connections that have not said who they are; the oldest has to go
MAX_GREETING_BYTES = 1 << 20
_HEADER = b"content-"  # how each begins; those of other protocols do not


class AddressError(ValueError):
    """A listening address or token that is malformed or not allowed; the text says why."""


def choose_token(wanted: str) -> str:
    """Return the token that the user wants, or a new one."""
    if wanted and len(wanted) < MIN_TOKEN_CHARS:
        raise AddressError(f"{TOKEN_VARIABLE} must have at least {MIN_TOKEN_CHARS} characters")
    return wanted or secrets.token_urlsafe(MIN_TOKEN_CHARS)


def listen(address: str) -> socket.socket:
    """Listen on HOST:PORT, never where other machines reach it: nothing here is encrypted."""
    import ipaddress  # costs start-up time, and most editors use standard streams

    host, separator, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise AddressError(f"{address!r} is not HOST:PORT")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise AddressError(f"cannot resolve host {host!r}: {error.strerror}") from error
    if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
        raise AddressError(f"{host} can be reached from other machines; use 127.0.0.1 and a tunnel")
    try:
        return socket.create_server((host, int(port)), family=family, backlog=MAX_STRANGERS)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}") from error


def accept(listener: socket.socket, token: str) -> Channel:
    """Wait for the one client that knows the token; then no other is let in."""
    strangers: dict[socket.socket, bytes] = {}  # what each has sent
    with selectors.DefaultSelector() as selector:

        def close(connection: socket.socket) -> None:
            selector.unregister(connection)
            connection.close()
            del strangers[connection]

        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                connection: Any = key.fileobj
                if connection is listener:
                    if len(strangers) >= MAX_STRANGERS:
                        close(next(iter(strangers)))
                    connection = listener.accept()[0]
                    strangers[connection] = b""
                    selector.register(connection, selectors.EVENT_READ)
                    continue
                if connection not in strangers:  # closed a moment ago
                    continue
                is_known = _hear(connection, strangers, token)
                if is_known:
                    greeting = strangers.pop(connection)
                    for other in (listener, *strangers):
                        other.close()
                    return _channel(connection, greeting)
                if is_known is False:
                    close(connection)


def _hear(
    connection: socket.socket, strangers: dict[socket.socket, bytes], token: str
) -> bool | None:
    """Read what a connection has to say; return whether it knows the token, None: not yet said."""
    try:
        data = connection.recv(CHUNK_BYTES)
    except OSError:
        return False
    strangers[connection] += data
    return knows_token(strangers[connection], token) if data else False


def knows_token(data: bytes, token: str) -> bool | None:
    """Return whether `data` is `initialize` with the token; None if that takes more of it."""
    if data[: len(_HEADER)].lower() != _HEADER[: len(data)]:
        return False
    body = MessageReader(io.BytesIO(data).read, MAX_GREETING_BYTES).next()
    if body is None:
        return None if b"\r\n\r\n" in data or len(data) < MAX_LINE_BYTES else False
    if isinstance(body, Malformed):
        return False
    try:
        message = json.loads(body)
        options = section_of(message["params"]["initializationOptions"])
        given = options[TOKEN_OPTION].encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return message.get("method") == "initialize" and hmac.compare_digest(given, token.encode())


def _channel(connection: socket.socket, greeting: bytes) -> Channel:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unread = bytearray(greeting)

    def read(n_bytes: int) -> bytes:
        if unread:
            data = bytes(unread[:n_bytes])
            del unread[:n_bytes]
            return data
        try:
            return connection.recv(n_bytes)
        except ConnectionError:  # a client that dies resets the connection
            return b""

    return Channel(read, connection.sendall, connection.close)
