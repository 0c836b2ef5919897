"""Cuts a client's byte stream into messages of JSON, whatever the client sends, and frames ours.

A message is a block of headers, a blank line and `Content-Length` bytes. Headers count in any
case, order and line ending; a length beyond the cap is refused; after anything that is not a
message the reader looks for the next length header, so one bad message never costs a later one.
A string of JSON cannot hold a bare line break, so a length header that ends in a blank line inside
a body proves that the length was wrong. What can be said before pygls is imported is said with
this. `Outbox` writes from a thread of its own, in the order messages were put. Putting never waits;
whoever lets requests in asks for room first: a client that does not read holds up the reading of
its own further requests, memory stays flat, and nothing is lost when it goes on.
Knows no method and no type of the language server protocol.
"""

import contextlib
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

MAX_WAITING = 256
STOP_S = 0.5  # granted to the last messages
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 8192  # a header line longer than this is noise
MAX_DIGITS = 10  # int() of a long run of digits is slow and then refused by Python itself
CHUNK_BYTES = 65536
PUT_BACK_BYTES = 1 << 20  # of a bad body, searched for messages that it swallowed
_TAIL_BYTES = 64  # longer than any length header
_BLOCK_BYTES = 512  # where a header block ending at a blank line must begin

_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*(\d+)[ \t]*\r?\n\Z", re.IGNORECASE)
_HEADER = re.compile(rb"[A-Za-z0-9-]+[ \t]*:")
_BLOCK = re.compile(
    rb"content-length[ \t]*:[ \t]*\d+[ \t]*\r?\n(?:[A-Za-z0-9-]+[ \t]*:[^\r\n]*\r?\n)*\r?\n\Z",
    re.IGNORECASE,
)
_HEAD_BYTES = 1_024  # of a request that cannot be read, in which its id is looked for
_ID = re.compile(rb'"id"\s*:\s*(-?\d{1,15}|"(?:[^"\\]|\\.){0,200}")\s*,')


class Channel(NamedTuple):
    """Bytes from and to one client; `read` returns b"" at the end, `write` writes all or raises."""

    read: Callable[[int], bytes]
    write: Callable[[bytes], None]
    close: Callable[[], None]


class Malformed(NamedTuple):
    """Bytes that were no message; `reason` holds none of them."""

    reason: str
    body: bytes = b""  # as much as there was of one


def frame(body: bytes) -> bytes:
    """Return `body` with its header."""
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


class MessageReader:
    """Reads messages from `read(n)`, which returns at most n bytes and b"" at the end."""

    def __init__(self, read: Callable[[int], bytes], max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._read = read
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._in_noise = False  # noise is reported once, at its first line

    def next(self) -> bytes | Malformed | None:
        """Return the next body, what was wrong instead of one, or None at the end."""
        length = self._length()
        return self._body(length) if isinstance(length, int) else length

    def put_back(self, body: bytes) -> None:
        """Search `body`, which was no JSON, for a message that a wrong length swallowed."""
        self._buffer[:0] = body[-PUT_BACK_BYTES:]
        self._in_noise = True

    def _length(self) -> int | Malformed | None:
        """Read one header block."""
        length: int | None = None
        has_header = False
        while (line := self._line()) is not None:
            if match := _LENGTH.search(line):
                if line[: match.start()].strip() and not self._in_noise:
                    self._buffer[:0] = line[match.start() :]
                    return self._noise("bytes that are no header")
                if len(match[1]) > MAX_DIGITS or int(match[1]) > self._max_body_bytes:
                    return self._noise("a message longer than the limit")
                length, has_header = int(match[1]), True
            elif line.strip():
                if not _HEADER.match(line):
                    length, has_header = None, False
                    if not self._in_noise:
                        return self._noise("bytes that are no header")
                has_header = True
            elif length is not None:
                self._in_noise = False
                return length
            elif has_header and not self._in_noise:
                return self._noise("headers without a length")
        return None

    def _noise(self, reason: str) -> Malformed:
        self._in_noise = True
        return Malformed(reason)

    def _line(self) -> bytes | None:
        """Take one line with its end, or a piece of an overlong one without."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                return self._take(len(self._buffer) - _TAIL_BYTES)
            start = len(self._buffer)
            if not self._fill(CHUNK_BYTES):
                return None
        return self._take(end + 1)

    def _body(self, length: int) -> bytes | Malformed | None:
        checked = 0
        while len(self._buffer) < length:
            inner = self._inner_header(checked)
            if inner is not None:
                body = self._take(inner)
                return Malformed("a length that reaches into the next message", body)
            checked = len(self._buffer)
            if not self._fill(max(CHUNK_BYTES, min(length - checked, 16 * CHUNK_BYTES))):
                return None
        return self._take(length)

    def _inner_header(self, checked: int) -> int | None:
        """Find where a header block begins in the buffer, looking at what came after `checked`."""
        for blank in (b"\n\r\n", b"\n\n"):
            end = self._buffer.find(blank, max(0, checked - len(blank)))
            while end >= 0:
                end += len(blank)
                start = max(0, end - _BLOCK_BYTES)
                if match := _BLOCK.search(self._buffer, start, end):
                    return match.start()
                end = self._buffer.find(blank, end - 1)
        return None

    def _take(self, n_bytes: int) -> bytes:
        taken = bytes(self._buffer[:n_bytes])
        del self._buffer[:n_bytes]
        return taken

    def _fill(self, n_bytes: int) -> bool:
        data = self._read(n_bytes)
        self._buffer += data
        return bool(data)


def dump(message: Mapping[str, Any]) -> bytes:
    """Return the body of `message`; any string can be sent, lone surrogates too."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode("ascii")


def values(reader: MessageReader) -> Iterator[Any]:
    """Yield the JSON value of each body, or a Malformed where there is none, until the end."""
    while (body := reader.next()) is not None:
        if isinstance(body, Malformed):
            yield body
            continue
        try:
            value = json.loads(body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:  # broken, numbers too long, nested too deep
            reader.put_back(body)
            value = Malformed(f"not JSON ({type(error).__name__})", body)
        yield value


def find_id(body: bytes) -> int | str | None:
    """Return the id of a request that cannot be read, where it stands before the parameters.

    Anywhere, if only a constant such as NaN is no JSON.
    """
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(body)
        if isinstance(value, dict) and "method" in value and type(value.get("id")) in (int, str):
            return value["id"]  # type: ignore[no-any-return]
    head = body[:_HEAD_BYTES].partition(b'"params"')[0]
    match = _ID.search(head)
    if match is None or b'"method"' not in head:
        return None
    try:
        found: int | str = json.loads(match[1])
    except ValueError:
        return None
    return found


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


class Outbox:
    """Owns the client's end for writing; `on_broken` is called once if the client is gone."""

    def __init__(self, write: Callable[[bytes], None], on_broken: Callable[[], None]) -> None:
        self._write = write
        self._on_broken = on_broken
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Mapping[str, Any]) -> None:
        """Queue `message`."""
        self.write(dump(message))

    def write(self, body: bytes) -> None:
        """Queue the message with this body; pygls writes by this name."""
        with self._changed:
            self._waiting.append(frame(body))
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait while more than `MAX_WAITING` messages are queued."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MAX_WAITING)

    def close(self, timeout_s: float = STOP_S) -> None:
        """Write what is queued, for at most `timeout_s`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            data = self._waiting.popleft()
            self._changed.notify_all()
            return data

    def _run(self) -> None:
        is_broken = False
        while (data := self._next()) is not None:
            if is_broken:
                continue  # keeps draining, so that nobody waits for room
            try:
                self._write(data)
            except OSError:
                is_broken = True
                self._on_broken()
