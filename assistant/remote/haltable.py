"""The pool's connections, each knowing the requests on it, so that one can be hung up at once.

Cancelling a request inside an HTTP client has cost pools their slots. Instead the socket is shut
down under it: the request then fails as it would if the server had hung up, a path on which the
pool frees everything, and the server sees the connection close while it is still thinking.
"""

# ruff: noqa: ASYNC109  (the time limits are parameters of the interface)
import contextlib
import socket
import ssl
from contextvars import ContextVar
from typing import Any

import httpcore2 as httpcore

from assistant.remote.inflight import InflightRequest

current: ContextVar[InflightRequest | None] = ContextVar("current request", default=None)


class HaltableStream(httpcore.AsyncNetworkStream):
    """One connection; refuses to send for a request that nobody wants any more."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._users: set[InflightRequest] = set()
        self.n_users = 0  # over its whole life

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive; a request that was halted gets an error instead, if it is alone here.

        Over HTTP/2 one request reads for all, and its error would end the others, too.
        """
        self._enter(httpcore.ReadError)
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; a request that was halted sends nothing more."""
        if user := self._enter(httpcore.WriteError):
            user.has_sent = True
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Tell what the pool asks of a stream."""
        return self._inner.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "HaltableStream":
        """Encrypt."""
        return HaltableStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def _enter(self, refusal: type[Exception]) -> InflightRequest | None:
        user = current.get()
        if user is None:
            return None
        if user.halted and not (user.has_sent and self._has_others(user)):
            raise refusal("halted")
        if user not in self._users:
            self._users.add(user)
            self.n_users += 1
        user.stream = self
        return user

    def leave(self, user: InflightRequest) -> None:
        """Forget a request that is over; if only halted ones are left, nobody waits for more."""
        self._users.discard(user)
        if self._users and not self._has_others(user):
            self._shut_down()

    def hang_up(self, user: InflightRequest) -> None:
        """End the connection now, unless other requests share it, as HTTP/2 lets them."""
        if not self._has_others(user):
            self._shut_down()

    def _has_others(self, user: InflightRequest) -> bool:
        return any(not (other.halted or other.is_over) for other in self._users - {user})

    def _shut_down(self) -> None:
        inner: socket.socket | None = self._inner.get_extra_info("socket")
        if inner is not None:
            with contextlib.suppress(OSError):  # gone already
                inner.shutdown(socket.SHUT_RDWR)


class HaltableBackend(httpcore.AnyIOBackend):
    """Opens connections that know their requests."""

    async def connect_tcp(self, *args: Any, **options: Any) -> HaltableStream:
        """Connect."""
        return HaltableStream(await super().connect_tcp(*args, **options))
