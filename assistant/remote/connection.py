"""A connection to the server: what is accepted of an answer, and what each fault is called.

An httpx client of one connection. Redirects are refused (they could lead the user's code and key to
another host), as are cookies and compressed answers (a bomb unpacks in one step); bodies of errors
are not read.
"""

import contextlib
import email.utils
import functools
import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx

from assistant.errors import RemoteError, withheld
from assistant.remote.formats import FORMATS, read_piece
from assistant.remote.inflight import InflightRequest
from assistant.remote.settings import (
    RemoteSettings,
    complete_proxy,
    find_mistake_of_address,
    is_loopback,
)
from model.files import UnreadableFileError, read_regular

MAX_ANSWER_BYTES = 1 << 20  # of a stream; its text is far smaller
MAX_CA_BYTES = 4 << 20
KEEP_ALIVE_S = 60.0
MAX_RETRY_AFTER_S = 3_600.0  # servers have said years
_EVENTS = "text/event-stream"
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_Lines = Iterator[tuple[bytes, bool]]
_STATUS = {
    400: "the server takes no such request (400); see provider, model and template",
    422: "the server takes no such request (422); see provider, model and template",
    401: "the server does not accept the key (401)",
    403: "the server does not accept the key (403)",
    404: "the server has no such path or model (404); see provider, url and model",
}


class Connection:
    """Serves one request after the other; `hang_up` is for any thread, the rest for one."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        proxy, trust = find_route(settings)
        self._http = httpx.Client(
            verify=trust,
            proxy=proxy,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(settings.read_s, connect=settings.connect_s),
            trust_env=False,  # its proxies are found here, and netrc's passwords are not ours
        )
        self._http.headers.clear()  # what leaves is what `foretype egress --dry-run` shows
        self._socket: socket.socket | None = None  # a second handle of the connection's
        self._is_hung_up = False

    @property
    def is_usable(self) -> bool:
        """Whether it may serve another request: its last answer came to its end."""
        return self._socket is not None and not self._is_hung_up

    def close(self) -> None:
        """Close it."""
        self._http.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def hang_up(self) -> None:
        """End it under whoever uses it: each read and write fails, and the server sees it."""
        self._is_hung_up = True
        if current := self._socket:
            with contextlib.suppress(OSError):  # gone already
                current.shutdown(socket.SHUT_RDWR)

    def ask(self, inflight: InflightRequest) -> None:
        """Fill `inflight`; RemoteError says why its text is not whole."""
        try:
            return self._exchange(inflight)
        except Exception as error:  # noqa: BLE001  whatever a server can provoke in the library
            fault = _name_fault(error, has_sent=inflight.has_sent)
        self.close()  # outside: an error keeps what it came through alive, such as a socket
        if not inflight.is_whole:
            inflight.check()
            raise fault

    def _follow(self, inflight: InflightRequest, event: str, info: Mapping[str, Any]) -> None:
        """Note how far httpx is: the socket once there is one, and when something is sent."""
        if event == "connection.connect_tcp.complete":
            if self._socket is not None:
                self._socket.close()
            # A handle of our own: TLS takes httpx's away while it shakes hands.
            self._socket = info["return_value"].get_extra_info("socket").dup()
            if self._is_hung_up:
                self.hang_up()
        elif event == "http11.send_request_headers.started":
            inflight.check()  # not before: httpx forgets a socket where it is interrupted then
            inflight.has_sent = True

    def _exchange(self, inflight: InflightRequest) -> None:
        known = FORMATS[self._settings.provider]
        request = self._http.build_request(
            "POST",
            self._settings.address + known.path,
            content=inflight.payload.body,
            headers=inflight.headers,
            extensions={"trace": functools.partial(self._follow, inflight)},
        )
        response = self._http.send(request, stream=True)
        try:
            _check_head(response, known.stream_type)
            is_at_end = self._read_body(response, inflight, has_events=known.stream_type == _EVENTS)
        finally:
            response.close()
        if not is_at_end or response.headers.get("connection", "").lower() == "close":
            self.close()

    def _read_body(
        self, response: httpx.Response, inflight: InflightRequest, *, has_events: bool
    ) -> bool:
        """Take what comes; say whether the connection can be kept."""
        is_done = False
        for line, is_last in _read_lines(response, inflight):
            name, _, data = line.partition(b":") if has_events else (b"data", b":", line)
            data = data.strip() if name.removeprefix(b"\xef\xbb\xbf") == b"data" else b""
            is_done |= data == b"[DONE]"
            if data and not is_done:
                table = parse_object(data, is_cut=is_last)
                if inflight.take(read_piece(table, inflight.settings)):
                    return False  # enough: the rest is not even received
        if not inflight.is_whole and not is_done:
            raise RemoteError("broken off", "the answer ends before it is whole")
        return True


def _read_lines(response: httpx.Response, inflight: InflightRequest) -> _Lines:
    """Yield each line, and whether it has no end: then it is the last."""
    rest = b""
    for data in response.iter_raw():
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


def _check_head(response: httpx.Response, stream_type: str) -> None:
    status, headers = response.status_code, response.headers
    if status in (429, 503):
        pause_s = _read_retry_after(headers.get("retry-after", "").strip())
        raise RemoteError("busy", f"the server is busy ({status})", retry_after_s=pause_s)
    if 300 <= status < 400:
        message = f"the server redirects ({status}), which is refused; set url to its goal"
        raise RemoteError("refused", message)
    if status != 200:
        usual = f"the server answers with status {status}"
        raise RemoteError("refused", _STATUS.get(status, usual))
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ((_EVENTS,) if stream_type == _EVENTS else _LINES):
        name = "SSE" if stream_type == _EVENTS else "NDJSON"
        raise RemoteError("not understood", f"the answer is no stream of {name}")
    for name, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        if headers.get(name, plain).strip().lower() != plain:
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
        case httpx.ProxyError():
            return RemoteError("unreachable", "the proxy refuses the connection")
        case httpx.TimeoutException() if has_sent:
            return RemoteError("too slow", "the server fell silent")
        case httpx.TimeoutException():
            return RemoteError("unreachable", "cannot connect in time")
        case httpx.TransportError() | ssl.SSLError() if not has_sent:
            tls = "the server's certificate is not trusted, or TLS failed"
            return RemoteError("unreachable", tls if _is_of_tls(error) else "cannot connect")
        case httpx.TransportError() | ssl.SSLError() | OSError():
            return RemoteError("broken off", "the connection broke off")
    return RemoteError("failed", f"the request failed ({type(error).__name__})")


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def find_route(settings: RemoteSettings) -> tuple[str | None, ssl.SSLContext | bool]:
    """Return the proxy and whom to believe; RemoteError (withheld) if one of them is no such."""
    proxy = _find_proxy(settings)
    is_plain = proxy is None and urlsplit(settings.address).scheme == "http"
    return proxy, not is_plain and _open_trust(settings.ca_file)  # reading it takes a moment


@functools.cache
def _open_trust(ca_file: str) -> ssl.SSLContext:
    """Return whom to believe: the system's authorities, or only those in `ca_file`."""
    try:
        if ca_file:
            data = read_regular(Path(ca_file).expanduser(), MAX_CA_BYTES)
            return ssl.create_default_context(cadata=data.decode("ascii", "ignore"))
        return httpx.create_ssl_context()
    except UnreadableFileError as error:
        raise withheld(f"ca_file: {error}") from None
    except (OSError, ValueError, RuntimeError):
        named = f"ca_file {ca_file!r}" if ca_file else "what SSL_CERT_FILE or SSL_CERT_DIR names"
        raise withheld(f"{named} holds no certificates in PEM") from None


def _find_proxy(settings: RemoteSettings) -> str | None:
    """Return the proxy to use; this machine is reached without one unless the user names it."""
    address = settings.proxy
    is_near = is_loopback(settings.host) or urllib.request.proxy_bypass(settings.host)
    if not address and not is_near:
        proxies = urllib.request.getproxies()
        address = proxies.get(urlsplit(settings.address).scheme) or proxies.get("all") or ""
    if not address:
        return None
    address = complete_proxy(address)
    if mistake := find_mistake_of_address(address):
        raise withheld(f"the proxy of HTTPS_PROXY or ALL_PROXY {mistake}")
    return address
