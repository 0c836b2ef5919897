"""Columns in the client's units and in code points, for one line at a time.

A client counts UTF-8 bytes, UTF-16 units or code points, as agreed at `initialize`. A column
inside a character is rounded down to its start, one past the end of the line to its end.
All work is done by codecs, so that a line of megabytes costs no Python loop.
"""

from typing import Literal

Encoding = Literal["utf-8", "utf-16", "utf-32"]
ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
DEFAULT_ENCODING: Encoding = "utf-16"  # what the protocol says when nothing is offered


def choose_encoding(offered: object) -> Encoding:
    """Return the first encoding that the client offers and we know."""
    for name in offered if isinstance(offered, list) else ():
        for encoding in ENCODINGS:
            if name == encoding:
                return encoding
    return DEFAULT_ENCODING


def column_of(line: str, units: int, encoding: Encoding) -> int:
    """Return the code point column for `units` of `encoding` in `line` (without its end)."""
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    if encoding == "utf-8":
        data = line.encode("utf-8", "surrogatepass")
        while 0 < units < len(data) and data[units] & 0xC0 == 0x80:
            units -= 1
        return len(data[:units].decode("utf-8", "surrogatepass"))
    data = line.encode("utf-16-le", "surrogatepass")
    end = 2 * units
    if 0 < end < len(data) and _is_high(data[end - 1]) and _is_low(data[end + 1]):
        end -= 2
    return len(data[:end].decode("utf-16-le", "surrogatepass"))


def units_of(line: str, column: int, encoding: Encoding) -> int:
    """Return `column` code points of `line` in units of `encoding`."""
    if encoding == "utf-32" or line.isascii():
        return column
    if encoding == "utf-8":
        return len(line[:column].encode("utf-8", "surrogatepass"))
    return len(line[:column].encode("utf-16-le", "surrogatepass")) // 2


def _is_high(top_byte: int) -> bool:
    return 0xD8 <= top_byte <= 0xDB


def _is_low(top_byte: int) -> bool:
    return 0xDC <= top_byte <= 0xDF
