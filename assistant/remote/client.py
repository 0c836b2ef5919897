"""One attempt over HTTP: what is accepted of an answer, and what each fault is called.

Redirects are refused (they could lead the user's code and key to another host), as are cookies and
compressed answers (a bomb unpacks in one step); bodies of errors are not read.
"""

import asyncio
import email.utils
import functools
import ssl
import time
import urllib.request
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx2 as httpx

from assistant.remote.errors import RemoteError
from assistant.remote.formats import FORMATS, read_piece
from assistant.remote.inflight import InflightRequest
from assistant.remote.settings import RemoteSettings, is_loopback
from assistant.remote.streams import ObjectReader

MAX_ANSWER_BYTES = 1 << 20  # of a stream; its text is far smaller
KEEP_ALIVE_S = 60.0
DRAIN_S = 0.25  # after the last word, for the end of the body: then the connection can be kept
MAX_RETRY_AFTER_S = 3_600.0  # servers have said years
_EVENTS = "text/event-stream"
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


def open_client(settings: RemoteSettings) -> httpx.AsyncClient:
    """Return a client of one connection; of one event loop."""
    client = httpx.AsyncClient(
        verify=_open_trust(settings.ca_file),
        http2=True,
        limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE_S),
        proxy=_find_proxy(settings),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(settings.read_s, connect=settings.connect_s, pool=settings.connect_s),
        trust_env=False,  # its proxies are found here, and netrc's passwords are not ours
    )
    client.headers.clear()  # what leaves is what `foretype egress --dry-run` shows
    return client


async def ask(client: httpx.AsyncClient, inflight: InflightRequest) -> None:
    """Fill `inflight`; RemoteError says why its text is not whole."""
    try:
        await _ask(client, inflight)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError) as error:
        if not inflight.is_whole:
            inflight.check()
            raise _name_fault(error, inflight) from None


async def _ask(client: httpx.AsyncClient, inflight: InflightRequest) -> None:
    assert inflight.payload is not None, "prepared before it is asked"
    known = FORMATS[inflight.settings.provider]

    async def watch(event: str, _: object) -> None:
        inflight.has_connected |= event == "connection.connect_tcp.started"
        inflight.has_sent |= event.endswith("send_request_headers.started")

    async with client.stream(
        "POST",
        inflight.settings.address + known.path,
        content=inflight.payload.body,
        headers=inflight.headers,
        extensions={"trace": watch},
    ) as response:
        _check_head(response, known.stream_type)
        reader = ObjectReader(has_events=known.stream_type == _EVENTS)
        await _read_body(response, reader, inflight)
    if not inflight.is_whole and not reader.is_done:
        raise RemoteError("broken off", "the answer ends before it is whole")


async def _read_body(
    response: httpx.Response, reader: ObjectReader, inflight: InflightRequest
) -> None:
    drain: asyncio.TimerHandle | None = None
    try:
        async for chunk in response.aiter_raw():
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
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ({_EVENTS} if stream_type == _EVENTS else _LINES):
        name = "SSE" if stream_type == _EVENTS else "NDJSON"
        raise RemoteError("not understood", f"the answer is no stream of {name}")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        message = "the answer is compressed, though that was not asked for"
        raise RemoteError("not understood", message)


def _read_retry_after(text: str) -> float | None:
    """Return the seconds that the server asks for: it may give a number or a date."""
    try:
        if text.isascii() and text.isdigit():
            seconds = float(text[:12])
        else:  # the one place where a wall clock is meant
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _name_fault(error: Exception, inflight: InflightRequest) -> RemoteError:
    """Say what a fault means; its own text may hold an address with a password."""
    match error:
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
            is_stale = not inflight.has_connected and inflight.bytes_received == 0
            return RemoteError("broken off", "the connection broke off", may_retry=is_stale)
    return RemoteError("failed", f"the request failed ({type(error).__name__})")


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


@functools.cache
def _open_trust(ca_file: str) -> ssl.SSLContext:
    """Return whom to believe: the system's authorities, or only those in `ca_file`."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except (OSError, ssl.SSLError):
        raise RemoteError("failed", f"ca_file {ca_file!r} holds no certificates in PEM") from None


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
