"""The reader finds every good message, whatever stands between them."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp.framing import MAX_LINE_BYTES, Malformed, MessageReader, frame

LIMIT = 64 << 20  # bytes of a body
GOOD = b'{"jsonrpc":"2.0","id":7,"method":"x"}'


def reader_of(data: bytes, *, piece: int = 65536) -> MessageReader:
    """A reader whose source hands out at most `piece` bytes at a time."""
    place = 0

    def read(n_bytes: int) -> bytes:
        nonlocal place
        start, place = place, min(len(data), place + min(n_bytes, piece))
        return data[start:place]

    return MessageReader(read)


def drain(reader: MessageReader) -> list[bytes | Malformed]:
    """Everything the reader finds, putting back what is no JSON as the server does."""
    found = []
    while (item := reader.next()) is not None:
        found.append(item)
        if isinstance(item, bytes):
            try:
                json.loads(item)
            except ValueError:
                reader.put_back(item)
    return found


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: %d\r\n\r\n",
        b"content-length: %d\r\n\r\n",
        b"CONTENT-LENGTH:%d\r\n\r\n",
        b"Content-Length:  %d  \r\n\r\n",
        b"Content-Length: %d\n\n",
        b"Content-Length : %d\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: %d\r\nContent-Type: text/plain\r\nX-Other: 1\r\n\r\n",
        b"\r\n\r\nContent-Length: %d\r\n\r\n",
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_header_forms_are_equal(header: bytes, piece: int) -> None:
    data = (header % len(GOOD) + GOOD) * 2
    assert drain(reader_of(data, piece=piece)) == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "bytes that are no header"),
        (b"\x00\xff\xfe garbage\n", "bytes that are no header"),
        (b"Content-Type: text/plain\r\n\r\n" + GOOD, "headers without a length"),
        (b"Content-Length: -5\r\n\r\n" + GOOD, "headers without a length"),
        (b"Content-Length: five\r\n\r\n" + GOOD, "headers without a length"),
        (b"Content-Length: 1000000000000\r\n\r\n" + GOOD, "a message longer than the limit"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + GOOD, "a message longer than the limit"),
        (b"x" * (3 * MAX_LINE_BYTES), "bytes that are no header"),
    ],
)
@pytest.mark.parametrize("piece", [3, 65536])
def test_noise_is_reported_once_and_costs_no_later_message(
    noise: bytes, reason: str, piece: int
) -> None:
    data = frame(GOOD) + noise + frame(GOOD) + frame(GOOD)
    assert drain(reader_of(data, piece=piece)) == [GOOD, Malformed(reason), GOOD, GOOD]


def test_length_above_the_cap_is_refused_and_below_is_waited_for() -> None:
    over = b"Content-Length: %d\r\n\r\n" % (LIMIT + 1)
    assert drain(reader_of(over)) == [Malformed("a message longer than the limit")]
    assert drain(reader_of(b"Content-Length: %d\r\n\r\n" % LIMIT)) == []


@pytest.mark.parametrize("error", [-20, -3, -1, 1, 2, 10, 25, 1000, 65536])
@pytest.mark.parametrize("piece", [1, 65536])
def test_wrong_length_loses_no_other_message(error: int, piece: int) -> None:
    wrong = b"Content-Length: %d\r\n\r\n" % (len(GOOD) + error) + GOOD
    found = drain(reader_of(frame(GOOD) + wrong + frame(GOOD) * 3, piece=piece))
    assert found[0] == GOOD
    assert [item for item in found[1:] if item == GOOD][-3:] == [GOOD] * 3


def test_body_with_a_header_in_a_string_is_one_body() -> None:
    text = "Content-Length: 10\r\n\r\nhello"
    body = json.dumps({"text": text}, indent=1).encode() + b"\n\n  \r\n\r\n"
    assert drain(reader_of(frame(body), piece=5)) == [body]


def test_end_inside_a_body_is_the_end() -> None:
    assert drain(reader_of(frame(GOOD)[:-1])) == []


@settings(max_examples=100)
@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_bytes_before_good_messages(noise: bytes, seed: int) -> None:
    piece = random.Random(seed).choice([1, 2, 50, 65536])
    found = drain(reader_of(noise + b"\n" + frame(GOOD) * 3, piece=piece))
    assert found[-2:] == [GOOD, GOOD]


def test_a_length_has_ten_digits_at_most() -> None:
    assert drain(reader_of(b"Content-Length: %010d\r\n\r\n" % len(GOOD) + GOOD)) == [GOOD]
    refused = drain(reader_of(b"Content-Length: %011d\r\n\r\n" % len(GOOD) + GOOD + b"\n"))
    assert refused == [Malformed("a message longer than the limit")]


@pytest.mark.parametrize(("n_bytes", "is_one"), [(512, True), (513, False)])
def test_headers_within_a_body_are_a_message_if_they_are_short(n_bytes: int, is_one: bool) -> None:
    head = b"Content-Length: 37\r\nX: "
    head += b"y" * (n_bytes - len(head) - 4) + b"\r\n\r\n"
    swallowed = b"Content-Length: 9999\r\n\r\n[1,\n" + head + GOOD + b" " * 600
    assert (GOOD in drain(reader_of(swallowed))) is is_one


@pytest.mark.parametrize(("n_more", "is_found"), [(0, True), (1, False)])
def test_the_last_megabyte_of_a_bad_body_is_searched(n_more: int, is_found: bool) -> None:
    message = frame(GOOD)
    body = message + b"x" * ((1 << 20) - len(message) + n_more)
    reader = reader_of(b"")
    reader.put_back(body)
    assert (GOOD in drain(reader)) is is_found
