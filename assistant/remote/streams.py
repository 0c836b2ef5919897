"""Streamed answers: bytes in any pieces, JSON objects out.

Server-sent events and lines of JSON, whichever way the network cuts them: also inside a character,
between CR and LF, or in the middle of a number. Knows no HTTP and no provider.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from assistant.remote.backend import Framing
from assistant.remote.errors import BrokenOffError, NotUnderstoodError, TooLargeError

MAX_LINE_CHARS = 1 << 18  # of one object; a suggestion has some hundred
_MAX_DEPTH = 32
_DONE = "[DONE]"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\]{}]")


class Reader(Protocol):
    """Turns chunks of bytes into objects."""

    is_done: bool  # the answer said so itself

    def feed(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the objects that `data` completes."""

    def close(self) -> Iterator[Mapping[str, Any]]:
        """Yield what the end of the stream completes; BrokenOffError if it ends inside one."""


class _Lines:
    """UTF-8 lines ended by LF, CR LF or CR."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="strict")
        self._rest = ""
        self._ended_by_cr = False

    def feed(self, data: bytes, *, final: bool = False) -> Iterator[str]:
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError:
            raise NotUnderstoodError("the answer is not UTF-8") from None
        if self._ended_by_cr and text:
            text = text.removeprefix("\n")
            self._ended_by_cr = False
        if text.endswith("\r"):
            self._ended_by_cr = True
        lines = (self._rest + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        self._rest = lines.pop()
        if max(map(len, [*lines, self._rest])) > MAX_LINE_CHARS:
            raise TooLargeError(f"a line of the answer has over {MAX_LINE_CHARS} characters")
        yield from lines

    def rest(self) -> str:
        rest, self._rest = self._rest, ""
        return rest


class SseReader:
    """Server-sent events; the `data` of each is an object, or [DONE]."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._data: list[str] = []
        self.is_done = False

    def feed(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the objects that `data` completes."""
        yield from self._events(self._lines.feed(data))

    def close(self) -> Iterator[Mapping[str, Any]]:
        """Yield the object that the end completes: some servers leave the last blank line out."""
        ending = [*self._lines.feed(b"", final=True), self._lines.rest(), ""]
        try:
            yield from self._events(iter(ending))
        except NotUnderstoodError:
            raise BrokenOffError("the answer ends in the middle of an object") from None

    def _events(self, lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
        for line in lines:
            if self.is_done:
                return
            field, _, value = line.partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
                if sum(map(len, self._data)) > MAX_LINE_CHARS:
                    raise TooLargeError(f"an event has over {MAX_LINE_CHARS} characters")
            elif not line and self._data:
                text = "\n".join(self._data)
                self._data = []
                if text.strip() == _DONE:
                    self.is_done = True
                else:
                    yield parse_object(text)


class NdjsonReader:
    """One object a line."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self.is_done = False

    def feed(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """Yield the objects that `data` completes."""
        yield from (parse_object(line) for line in self._lines.feed(data) if line.strip())

    def close(self) -> Iterator[Mapping[str, Any]]:
        """Yield the object of a last line without its end."""
        ending = [*self._lines.feed(b"", final=True), self._lines.rest()]
        try:
            yield from (parse_object(line) for line in ending if line.strip())
        except NotUnderstoodError:
            raise BrokenOffError("the answer ends in the middle of an object") from None


def reader_of(framing: Framing) -> Reader:
    """Return a reader for one answer."""
    return SseReader() if framing == "sse" else NdjsonReader()


def parse_object(text: str) -> Mapping[str, Any]:
    """Return the JSON object in `text`, whatever it may try on us; NotUnderstoodError."""
    if _depth(text) > _MAX_DEPTH:
        raise NotUnderstoodError("the answer is nested too deeply")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits
        raise NotUnderstoodError("the answer is not JSON") from None
    if not isinstance(value, dict):
        raise NotUnderstoodError("the answer is JSON, but no object")
    return value


def _depth(text: str) -> int:
    """Return how deeply lists and objects are nested; the decoder recurses that far."""
    depth = deepest = 0
    for mark in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
