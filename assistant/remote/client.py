"""One attempt over HTTP: what is accepted of an answer, and what each fault is called.

Redirects are refused (they could lead the user's code and key to another host), as are cookies,
compressed answers (a bomb unpacks in one step) and bodies of errors (nobody reads them).
"""

import asyncio
import email.utils
import ssl
import time
import urllib.request
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpcore2 as httpcore
import httpx2 as httpx

from assistant.remote.errors import (
    BrokenOffError,
    BusyError,
    NotUnderstoodError,
    RemoteError,
    StaleConnectionError,
    StatusError,
    TooLargeError,
    TooSlowError,
    UnreachableError,
)
from assistant.remote.inflight import Flight
from assistant.remote.settings import RemoteSettings
from assistant.remote.sockets import Exchange, current
from assistant.remote.streams import Reader, reader_of

MAX_ANSWER_BYTES = 1 << 20  # of a stream; its text is far smaller
MAX_CONNECTIONS = 8
KEEP_ALIVE_S = 60.0
DRAIN_S = 0.25  # after the last word, for the end of the body: then the connection can be kept
MAX_RETRY_AFTER_S = 3_600.0  # servers have said years
_TYPES = {
    "sse": frozenset({"text/event-stream"}),
    "ndjson": frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"}),
}


class Client:
    """An httpx client for one server; of one event loop."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._n_flights = 0
        self.is_wedged = False
        transport = _Wire(
            verify=_trust(settings),
            http2=True,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            proxy=_proxy(settings),
        )
        self._client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(
                settings.read_s, connect=settings.connect_s, pool=settings.connect_s
            ),
            trust_env=False,  # its proxies are handled here, and netrc's passwords are not ours
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def ask(self, flight: Flight) -> None:
        """Fill `flight`; RemoteError says why its text is not whole."""
        current.set(flight)  # of the owner task's own context
        self._n_flights += 1
        try:
            await self._ask(flight)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError) as error:
            if not flight.is_whole:
                flight.check()
                raise self._named(error, flight) from None
        finally:
            self._n_flights -= 1
            if flight.line is not None:
                flight.line.leave(flight)
                flight.line = None
            current.set(None)

    async def _ask(self, flight: Flight) -> None:
        call, framing = flight.call, flight.plan.backend.framing
        assert call is not None, "prepared before it is asked"
        async with self._client.stream(
            "POST", call.url, content=call.body, headers=dict(call.headers)
        ) as response:
            flight.check()
            _check(response, framing)
            reader = reader_of(framing)
            await _read(response, reader, flight)
        if not flight.is_whole and not reader.is_done:
            flight.check()
            raise BrokenOffError("the answer ends before it is whole")

    def _named(self, error: Exception, flight: Flight) -> RemoteError:
        """Say what an httpx error means; its own text may hold an address with a password."""
        named: RemoteError
        if isinstance(error, httpx.PoolTimeout):
            self.is_wedged = self._n_flights <= 1
            named = BusyError("no free connection")
        elif isinstance(error, httpx.ConnectTimeout):
            named = UnreachableError("cannot connect in time")
        elif isinstance(error, httpx.ProxyError):
            named = UnreachableError("the proxy refuses the connection")
        elif isinstance(error, httpx.ConnectError | ssl.SSLError):
            named = _unreachable(error)
        elif isinstance(error, httpx.TimeoutException):
            named = TooSlowError("the server fell silent")
        elif isinstance(error, httpx.TransportError):
            is_stale = flight.line is not None and flight.line.n_flights > 1
            stale = is_stale and flight.bytes_received == 0
            kind = StaleConnectionError if stale else BrokenOffError
            named = kind("the connection broke off")
        else:
            named = RemoteError(f"the request failed ({type(error).__name__})")
        return named


class _Wire(httpx.AsyncHTTPTransport):
    """A transport whose connections know their flights."""

    def __init__(
        self, *, verify: ssl.SSLContext | bool, http2: bool, limits: httpx.Limits, proxy: str | None
    ) -> None:
        super().__init__(verify=verify, http2=http2, limits=limits, proxy=proxy, trust_env=True)
        # There is no public way in: httpx makes its pool itself.
        self._pool._network_backend = Exchange(httpcore.AnyIOBackend())


async def _read(response: httpx.Response, reader: Reader, flight: Flight) -> None:
    loop = asyncio.get_running_loop()
    drain: asyncio.TimerHandle | None = None
    try:
        async for chunk in response.aiter_raw():
            flight.check()
            flight.bytes_received += len(chunk)
            if flight.bytes_received > MAX_ANSWER_BYTES:
                raise TooLargeError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            for table in reader.feed(chunk):
                if flight.take(flight.plan.backend.piece(table)):
                    return  # enough: the rest is not even received
            if drain is None and (flight.is_whole or reader.is_done):
                drain = loop.call_later(DRAIN_S, flight.halt)
        for table in reader.close():
            flight.take(flight.plan.backend.piece(table))
    except RemoteError:
        if not flight.is_whole:
            raise
    finally:
        if drain is not None:
            drain.cancel()


def _check(response: httpx.Response, framing: str) -> None:
    status = response.status_code
    if status in (429, 503):
        raise BusyError(f"the server is busy ({status})", retry_after_s=_retry_after(response))
    if 300 <= status < 400:
        raise StatusError(f"the server redirects ({status}), which is refused; set url to its goal")
    if status in (401, 403):
        raise StatusError(f"the server does not accept the key ({status})")
    if status == 404:
        raise StatusError("the server has no such path or model (404); see provider, url and model")
    if status != 200:
        raise StatusError(f"the server answers with status {status}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES[framing]:
        raise NotUnderstoodError(f"the answer is no stream of {framing.upper()}")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise NotUnderstoodError("the answer is compressed, though that was not asked for")


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asks for: it may give a number or a date."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        date = email.utils.parsedate_to_datetime(text)
        seconds = date.timestamp() - time.time()  # the one place where a wall clock is meant
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _unreachable(error: Exception) -> UnreachableError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            problem = UnreachableError("the server's certificate is not trusted, or TLS failed")
            problem.may_retry = False
            return problem
        cause = cause.__cause__ or cause.__context__
    return UnreachableError("cannot connect")


def _trust(settings: RemoteSettings) -> ssl.SSLContext | bool:
    """Return whom to believe: the system's authorities, or only those in `ca_file`."""
    if not settings.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError):
        raise RemoteError(f"ca_file {settings.ca_file!r} holds no certificates in PEM") from None


def _proxy(settings: RemoteSettings) -> str | None:
    """Return the proxy to use; this machine is reached without one unless the user names it."""
    proxy = settings.proxy
    if not proxy and not settings.is_loopback:
        parts = urlsplit(settings.address)
        if not urllib.request.proxy_bypass(settings.host):
            proxies = urllib.request.getproxies()
            proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy:
        return None
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise RemoteError("only proxies at http:// and https:// addresses can be used")
    return proxy
