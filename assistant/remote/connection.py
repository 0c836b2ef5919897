"""A connection to the server: what is accepted of an answer, and what each fault is called.

HTTP/1.1 of the standard library, which follows no redirect (it could lead the user's code and key
to another host), keeps no cookie and unpacks nothing (a bomb unpacks in one step). Bodies of errors
are not read.
"""

import base64
import contextlib
import email.utils
import functools
import http.client
import json
import selectors
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from assistant.remote.errors import RemoteError
from assistant.remote.formats import FORMATS, read_piece
from assistant.remote.inflight import InflightRequest
from assistant.remote.settings import RemoteSettings, is_loopback

MAX_ANSWER_BYTES = 1 << 20  # of a stream; its text is far smaller
KEEP_ALIVE_S = 60.0
DRAIN_S = 0.25  # of silence after the last word, before the end of the body
MAX_RETRY_AFTER_S = 3_600.0  # servers have said years
_READ_BYTES = 1 << 16
_EVENTS = "text/event-stream"
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class Connection:
    """Serves one request after the other; `hang_up` is for any thread, the rest for one."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._url = urlsplit(settings.address)
        proxy = _find_proxy(settings)
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        near = (proxy.hostname or "", proxy.port or 80) if proxy else (settings.host, port)
        self._http = http.client.HTTPConnection(*near, timeout=settings.connect_s)
        if proxy:
            login = unquote(f"{proxy.username}:{proxy.password or ''}").encode()
            told = {"Proxy-Authorization": "Basic " + base64.b64encode(login).decode()}
            self._http.set_tunnel(settings.host, port, told if proxy.username else {})
        self._socket: socket.socket | None = None
        self._used_s = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether it may serve another request: open, idle, not for long."""
        if self._socket is None or time.monotonic() - self._used_s > KEEP_ALIVE_S:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return not selector.select(0)  # the server has closed it, or babbles

    def close(self) -> None:
        """Close it."""
        self._http.close()
        self._socket = None

    def hang_up(self) -> None:
        """End it under whoever uses it: each read and write fails, and the server sees it."""
        current = self._socket or self._http.sock
        if current is not None:
            with contextlib.suppress(OSError):  # gone already
                # Not the method of SSLSocket, which would go on in plain text.
                socket.socket.shutdown(current, socket.SHUT_RDWR)

    def ask(self, inflight: InflightRequest) -> None:
        """Fill `inflight`; RemoteError says why its text is not whole."""
        try:
            if self._socket is None:
                self._connect(inflight)
            return self._exchange(inflight)
        except Exception as error:  # noqa: BLE001  whatever a server can provoke in the library
            fault = _name_fault(error, has_sent=inflight.has_sent)
        self.close()  # outside: an error keeps what it came through alive, such as a socket
        if not inflight.is_whole:
            inflight.check()
            raise fault

    def _connect(self, inflight: InflightRequest) -> None:
        trust = _open_trust(self._settings.ca_file) if self._url.scheme == "https" else None
        self._http.connect()
        self._socket = self._http.sock
        if trust is not None:  # in two steps, so that a slow handshake can be hung up on
            self._socket = self._http.sock = encrypted = trust.wrap_socket(
                self._http.sock,
                server_hostname=self._settings.host,
                do_handshake_on_connect=False,
            )
            inflight.check()
            encrypted.do_handshake()

    def _exchange(self, inflight: InflightRequest) -> None:
        assert inflight.payload is not None and self._socket is not None
        known, body = FORMATS[self._settings.provider], inflight.payload.body
        self._socket.settimeout(self._settings.read_s)
        inflight.check()
        path = self._url.path.rstrip("/") + known.path
        self._http.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        host = self._url.netloc.encode("idna").decode()
        length = {"host": host, "content-length": str(len(body))}
        for name, value in (length | inflight.headers).items():
            self._http.putheader(name, value)
        inflight.has_sent = True
        self._http.endheaders(body)
        with self._http.getresponse() as response:
            _check_head(response, known.stream_type)
            self._read_body(response, inflight, has_events=known.stream_type == _EVENTS)
            if response.will_close or not response.isclosed():
                self.close()
        self._used_s = time.monotonic()

    def _read_body(
        self, response: http.client.HTTPResponse, inflight: InflightRequest, *, has_events: bool
    ) -> None:
        is_done = False
        for line, is_last in _read_lines(response, inflight):
            name, _, data = line.partition(b":") if has_events else (b"data", b":", line)
            data = data.strip() if name.removeprefix(b"\xef\xbb\xbf") == b"data" else b""
            is_done |= data == b"[DONE]"
            if data and not is_done:
                table = parse_object(data, is_cut=is_last)
                if inflight.take(read_piece(table, inflight.settings)):
                    return  # enough: the rest is not even received
            if (is_done or inflight.is_whole) and self._socket is not None:
                self._socket.settimeout(DRAIN_S)
        if not inflight.is_whole and not is_done:
            raise RemoteError("broken off", "the answer ends before it is whole")


def _read_lines(
    response: http.client.HTTPResponse, inflight: InflightRequest
) -> Iterator[tuple[bytes, bool]]:
    """Yield each line, and whether it has no end: then it is the last."""
    rest = b""
    while data := response.read1(_READ_BYTES):
        inflight.bytes_received += len(data)
        if inflight.bytes_received > MAX_ANSWER_BYTES:
            raise RemoteError("too large", f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        *lines, rest = (rest + data).split(b"\n")
        yield from ((line, False) for line in lines)
    yield rest, True


def parse_object(data: bytes, *, is_cut: bool = False) -> Mapping[str, Any]:
    """Return the JSON object in `data`, whatever it may try on us; RemoteError otherwise.

    `is_cut`: it has no line end, which some servers leave out, but else is a sign of an early end.
    """
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also a number too long, or nested too deep
        if is_cut:
            message = "the answer ends in the middle of an object"
            raise RemoteError("broken off", message) from None
        what = "UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON"
        raise RemoteError("not understood", f"the answer is not {what}") from None
    if not isinstance(value, dict):
        raise RemoteError("not understood", "the answer is JSON, but no object")
    return value


def _check_head(response: http.client.HTTPResponse, stream_type: str) -> None:
    status = response.status
    if status in (429, 503):
        pause_s = _read_retry_after(response.getheader("retry-after", "").strip())
        raise RemoteError("busy", f"the server is busy ({status})", retry_after_s=pause_s)
    message = f"the server answers with status {status}"
    if 300 <= status < 400:
        message = f"the server redirects ({status}), which is refused; set url to its goal"
    elif status in (401, 403):
        message = f"the server does not accept the key ({status})"
    elif status == 404:
        message = "the server has no such path or model (404); see provider, url and model"
    if status != 200:
        raise RemoteError("refused", message)
    kind = response.getheader("content-type", "").partition(";")[0].strip().lower()
    if kind not in ((_EVENTS,) if stream_type == _EVENTS else _LINES):
        name = "SSE" if stream_type == _EVENTS else "NDJSON"
        raise RemoteError("not understood", f"the answer is no stream of {name}")
    for name, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        if response.getheader(name, plain).strip().lower() != plain:
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


def _name_fault(error: Exception, *, has_sent: bool) -> RemoteError:
    """Say what a fault means; its own text may hold an address with a password."""
    match error:
        case RemoteError():
            return error
        case TimeoutError() if has_sent:
            return RemoteError("too slow", "the server fell silent")
        case TimeoutError():
            return RemoteError("unreachable", "cannot connect in time")
        case ssl.SSLError() if not has_sent:
            message = "the server's certificate is not trusted, or TLS failed"
            return RemoteError("unreachable", message)
        case OSError() if not has_sent:
            return RemoteError("unreachable", "cannot connect")
        case OSError() | http.client.HTTPException() | OverflowError():
            return RemoteError("broken off", "the connection broke off")
    return RemoteError("failed", f"the request failed ({type(error).__name__})")


@functools.cache
def _open_trust(ca_file: str) -> ssl.SSLContext:
    """Return whom to believe: the system's authorities, or only those in `ca_file`."""
    try:
        trust = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError):
        raise RemoteError("failed", f"ca_file {ca_file!r} holds no certificates in PEM") from None
    trust.set_alpn_protocols(["http/1.1"])
    return trust


def _find_proxy(settings: RemoteSettings) -> SplitResult | None:
    """Return the proxy to use; this machine is reached without one unless the user names it."""
    address = settings.proxy
    is_near = is_loopback(settings.host) or urllib.request.proxy_bypass(settings.host)
    if not address and not is_near:
        proxies = urllib.request.getproxies()
        address = proxies.get(urlsplit(settings.address).scheme) or proxies.get("all") or ""
    parts = urlsplit(address)
    if address and (parts.scheme != "http" or not parts.hostname):
        raise RemoteError("failed", "only proxies at http:// addresses can be used")
    return parts if address else None
