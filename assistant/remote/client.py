"""One attempt over HTTP: what is accepted of an answer, and what each fault is called.

Redirects are refused (they could lead the user's code and key to another host), as are cookies and
compressed answers (a bomb unpacks in one step); bodies of errors are not read.
"""

import asyncio
import email.utils
import ssl
import time
import urllib.request
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx2 as httpx

from assistant.remote.errors import RemoteError
from assistant.remote.formats import FORMATS, read_piece
from assistant.remote.haltable import HaltableBackend, current
from assistant.remote.inflight import InflightRequest
from assistant.remote.settings import RemoteSettings, is_loopback
from assistant.remote.streams import ObjectReader

MAX_ANSWER_BYTES = 1 << 20  # of a stream; its text is far smaller
MAX_CONNECTIONS = 8
KEEP_ALIVE_S = 60.0
DRAIN_S = 0.25  # after the last word, for the end of the body: then the connection can be kept
MAX_RETRY_AFTER_S = 3_600.0  # servers have said years
_TYPES = {
    "text/event-stream": ("SSE", frozenset({"text/event-stream"})),
    "application/x-ndjson": (
        "NDJSON",
        frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"}),
    ),
}


class _HaltableTransport(httpx.AsyncHTTPTransport):
    """httpx's own way to a server, over connections that know their requests."""

    def __init__(self, settings: RemoteSettings) -> None:
        super().__init__(
            verify=_open_trust(settings),
            http2=True,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S),
            proxy=_find_proxy(settings),
        )
        # There is no public way in: httpx makes its pool itself.
        self._pool._network_backend = HaltableBackend()


class Client:
    """Connections to one server; of one event loop."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._format = FORMATS[settings.provider]
        self._n_asked = 0
        self.is_wedged = False  # its pool has no free connection, though nobody uses one
        self._http = httpx.AsyncClient(
            transport=_HaltableTransport(settings),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(
                settings.read_s, connect=settings.connect_s, pool=settings.connect_s
            ),
            trust_env=False,  # its proxies are found here, and netrc's passwords are not ours
        )
        self._http.headers.clear()  # what leaves is what `foretype egress --dry-run` shows

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def ask(self, inflight: InflightRequest) -> None:
        """Fill `inflight`; RemoteError says why its text is not whole."""
        current.set(inflight)  # of the owner task's own context
        self._n_asked += 1
        try:
            await self._ask(inflight)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError) as error:
            self.is_wedged = isinstance(error, httpx.PoolTimeout) and self._n_asked == 1
            if not inflight.is_whole:
                inflight.check()
                raise _name_fault(error, inflight) from None
        finally:
            self._n_asked -= 1
            if inflight.stream is not None:
                inflight.stream.leave(inflight)
                inflight.stream = None
            current.set(None)

    async def _ask(self, inflight: InflightRequest) -> None:
        assert inflight.payload is not None, "prepared before it is asked"
        url = self._settings.address + self._format.path
        body, headers = inflight.payload.body, inflight.headers
        async with self._http.stream("POST", url, content=body, headers=headers) as response:
            inflight.check()
            _check_head(response, self._format.stream_type)
            reader = ObjectReader(has_events=self._format.stream_type == "text/event-stream")
            await _read_body(response, reader, inflight)
        if not inflight.is_whole and not reader.is_done:
            inflight.check()
            raise RemoteError("broken off", "the answer ends before it is whole")


async def _read_body(
    response: httpx.Response, reader: ObjectReader, inflight: InflightRequest
) -> None:
    drain: asyncio.TimerHandle | None = None
    try:
        async for chunk in response.aiter_raw():
            inflight.check()
            inflight.bytes_received += len(chunk)
            _check_size(inflight)
            for table in reader.feed(chunk):
                if inflight.take(read_piece(table, inflight.settings)):
                    return  # enough: the rest is not even received
            if drain is None and (inflight.is_whole or reader.is_done):
                drain = asyncio.get_running_loop().call_later(DRAIN_S, inflight.halt)
        for table in reader.close():
            inflight.take(read_piece(table, inflight.settings))
    except RemoteError:
        if not inflight.is_whole:
            raise
    finally:
        if drain is not None:
            drain.cancel()


def _check_size(inflight: InflightRequest) -> None:
    if inflight.bytes_received > MAX_ANSWER_BYTES:
        raise RemoteError("too large", f"the answer is larger than {MAX_ANSWER_BYTES} bytes")


def _check_head(response: httpx.Response, stream_type: str) -> None:
    status, headers = response.status_code, response.headers
    if status in (429, 503):
        pause_s = _read_retry_after(headers.get("retry-after", "").strip())
        message = f"the server is busy ({status})"
        raise RemoteError("busy", message, may_retry=True, retry_after_s=pause_s)
    message = f"the server answers with status {status}"
    if 300 <= status < 400:
        message = f"the server redirects ({status}), which is refused; set url to its goal"
    elif status in (401, 403):
        message = f"the server does not accept the key ({status})"
    elif status == 404:
        message = "the server has no such path or model (404); see provider, url and model"
    if status != 200:
        raise RemoteError("refused", message)
    name, types = _TYPES[stream_type]
    if headers.get("content-type", "").partition(";")[0].strip().lower() not in types:
        raise RemoteError("not understood", f"the answer is no stream of {name}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        message = "the answer is compressed, though that was not asked for"
        raise RemoteError("not understood", message)


def _read_retry_after(text: str) -> float | None:
    """Return the seconds that the server asks for: it may give a number or a date."""
    try:
        seconds = float(text[:12]) if text.isascii() and text.isdigit() else _until_date(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _until_date(text: str) -> float:
    date = email.utils.parsedate_to_datetime(text)
    return date.timestamp() - time.time()  # the one place where a wall clock is meant


def _name_fault(error: Exception, inflight: InflightRequest) -> RemoteError:
    """Say what a fault means; its own text may hold an address with a password."""
    match error:
        case httpx.PoolTimeout():
            return RemoteError("busy", "no free connection", may_retry=True)
        case httpx.ConnectTimeout():
            return RemoteError("unreachable", "cannot connect in time", may_retry=True)
        case httpx.ProxyError():
            message = "the proxy refuses the connection"
            return RemoteError("unreachable", message, may_retry=True)
        case httpx.TimeoutException():
            return RemoteError("too slow", "the server fell silent")
        case httpx.ConnectError() | ssl.SSLError():
            if _is_of_tls(error):
                message = "the server's certificate is not trusted, or TLS failed"
                return RemoteError("unreachable", message)
            return RemoteError("unreachable", "cannot connect", may_retry=True)
        case httpx.TransportError():
            # Idle connections are closed by servers: nothing was done with this request then.
            is_kept = inflight.stream is not None and inflight.stream.n_users > 1
            is_stale = is_kept and inflight.bytes_received == 0
            return RemoteError("broken off", "the connection broke off", may_retry=is_stale)
    return RemoteError("failed", f"the request failed ({type(error).__name__})")


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _open_trust(settings: RemoteSettings) -> ssl.SSLContext:
    """Return whom to believe: the system's authorities, or only those in `ca_file`."""
    try:
        if settings.ca_file:
            return ssl.create_default_context(cafile=settings.ca_file)
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError):
        message = f"ca_file {settings.ca_file!r} holds no certificates in PEM"
        raise RemoteError("failed", message) from None


def _find_proxy(settings: RemoteSettings) -> str | None:
    """Return the proxy to use; this machine is reached without one unless the user names it."""
    address = settings.proxy
    is_near = is_loopback(settings.host) or urllib.request.proxy_bypass(settings.host)
    if not address and not is_near:
        proxies = urllib.request.getproxies()
        address = proxies.get(urlsplit(settings.address).scheme) or proxies.get("all") or ""
    if address and urlsplit(address).scheme not in ("http", "https"):
        message = "only proxies at http:// and https:// addresses can be used"
        raise RemoteError("failed", message)
    return address or None
