"""Streamed answers: bytes in any pieces, JSON objects out. Knows no HTTP and no provider."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from assistant.remote.errors import RemoteError

MAX_LINE_BYTES = 1 << 18  # of one object; a suggestion has some hundred


class ObjectReader:
    """Reads one answer: server-sent events of one line each, or a line of JSON for each object.

    The network may cut it anywhere, also inside a character or between CR and LF.
    """

    def __init__(self, *, has_events: bool) -> None:
        self._has_events = has_events
        self._rest = b""
        self.is_done = False  # the answer said so itself

    def feed(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the objects that `data` completes."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            yield from self._read(line)
        if len(self._rest) > MAX_LINE_BYTES:
            raise RemoteError("too large", f"a line of the answer has over {MAX_LINE_BYTES} bytes")

    def close(self) -> Iterator[Mapping[str, Any]]:
        """Yield the object that the end completes: some servers leave the last line end out."""
        try:
            yield from self._read(self._rest)
        except RemoteError:
            message = "the answer ends in the middle of an object"
            raise RemoteError("broken off", message) from None

    def _read(self, line: bytes) -> Iterator[Mapping[str, Any]]:
        if self._has_events:
            name, _, line = line.partition(b":")
            if name != b"data":
                return
        line = line.strip()
        self.is_done |= line == b"[DONE]"
        if line and not self.is_done:
            yield parse_object(line)


def parse_object(data: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `data`, whatever it may try on us; RemoteError otherwise."""
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise RemoteError("not understood", "the answer is not UTF-8") from None
    except (ValueError, RecursionError):  # also a number of thousands of digits, and deep nesting
        raise RemoteError("not understood", "the answer is not JSON") from None
    if not isinstance(value, dict):
        raise RemoteError("not understood", "the answer is JSON, but no object")
    return value
