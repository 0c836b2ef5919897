"""The pool's sockets, each knowing which flights are on it, so that one can be hung up at once.

Cancelling a request inside httpx has cost pools their slots. Instead the socket is shut down under
it: the request then fails as it would if the server had hung up, a path on which the pool frees
everything, and the server sees the connection close while it is still thinking.
"""

# ruff: noqa: ASYNC109  (the time limits are parameters of the interface)
import contextlib
import socket
import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Protocol

import httpcore2 as httpcore

SocketOption = tuple[Any, ...]


class Passenger(Protocol):
    """What a socket needs to know of a flight."""

    is_halted: bool
    has_sent: bool  # anything at all, in this attempt
    line: "Line | None"  # the socket it is on now

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""


current: ContextVar[Passenger | None] = ContextVar("current flight", default=None)


class Line(httpcore.AsyncNetworkStream):
    """One connection; refuses to send for a flight that nobody wants any more."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._users: dict[int, Passenger] = {}
        self.n_flights = 0  # over its whole life

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive; a flight that was halted gets an error instead, if it is alone here.

        Over HTTP/2 one flight reads for all, and its error would end the others, too.
        """
        self._board(httpcore.ReadError)
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; a flight that was halted sends nothing more."""
        flight = self._board(httpcore.WriteError)
        if flight is not None:
            flight.has_sent = True
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Line":
        """Encrypt."""
        return Line(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Tell what the pool asks of a stream."""
        return self._inner.get_extra_info(info)

    def _board(self, refusal: type[Exception]) -> Passenger | None:
        flight = current.get()
        if flight is None:
            return None
        if flight.is_halted and not (flight.has_sent and self._has_others(flight)):
            raise refusal("halted")
        if id(flight) not in self._users:
            self._users[id(flight)] = flight
            self.n_flights += 1
        flight.line = self
        return flight

    def leave(self, flight: Passenger) -> None:
        """Forget a flight that is over; if only halted ones are left, nobody waits for more."""
        self._users.pop(id(flight), None)
        if self._users and not self._has_others(flight):
            self._shut_down()

    def hang_up(self, flight: Passenger) -> None:
        """End the connection now, unless other flights share it, as HTTP/2 lets them."""
        if not self._has_others(flight):
            self._shut_down()

    def _has_others(self, flight: Passenger) -> bool:
        others = (user for user in self._users.values() if user is not flight)
        return any(not (user.is_halted or user.is_over) for user in others)

    def _shut_down(self) -> None:
        inner: socket.socket | None = self._inner.get_extra_info("socket")
        if inner is not None:
            with contextlib.suppress(OSError):  # gone already
                inner.shutdown(socket.SHUT_RDWR)


class Exchange(httpcore.AsyncNetworkBackend):
    """Opens connections that know their flights."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> Line:
        """Connect."""
        return Line(
            await self._inner.connect_tcp(
                host,
                port,
                timeout=timeout,
                local_address=local_address,
                socket_options=socket_options,
            )
        )

    async def sleep(self, seconds: float) -> None:
        """Wait, between the pool's own attempts to connect."""
        await self._inner.sleep(seconds)
