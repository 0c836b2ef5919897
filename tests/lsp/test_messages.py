"""Bodies become values or are refused; any string can be sent."""

import json
from typing import Any

import pytest

from lsp.framing import Malformed, MessageReader, dump, find_id, frame, values


def found(data: bytes) -> list[Any]:
    """What the client's bytes hold."""
    pieces = [data]
    return list(values(MessageReader(lambda _: pieces.pop() if pieces else b"")))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b'{"a":' + b"1" * 5000 + b"}", b'{"a":"\x01"}',
     b'{"id":NaN}', b'{"id":-Infinity}'],
)  # fmt: skip
def test_body_that_is_no_json_is_malformed_and_costs_no_other(body: bytes) -> None:
    first, bad, last = found(frame(b"1") + frame(body) + frame(b"null"))
    assert (first, last) == (1, None)
    assert isinstance(bad, Malformed)
    assert bad.reason.startswith("not JSON (")


def test_message_that_a_wrong_length_swallowed_is_found() -> None:
    swallowed = frame(b"7")
    data = b"Content-Length: %d\r\n\r\n[" % (len(swallowed) + 1) + swallowed
    assert [value for value in found(data) if not isinstance(value, Malformed)] == [7]


def test_noise_is_reported_in_its_place() -> None:
    assert found(frame(b"1") + b"noise\n\n" + frame(b"2")) == [
        1,
        Malformed("bytes that are no header"),
        2,
    ]


def test_any_string_can_be_sent() -> None:
    text = "\ud83d alone, \U0001f600, \u2028, \x00"
    assert json.loads(dump({"result": text})) == {"jsonrpc": "2.0", "result": text}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"a/b","params":{"x":', 7),
        (b'{"method":"a/b","id" : "x-\\u0031", "params":\xff}', "x-1"),
        (b'{"method":"a/b","params":{"id":7,', None),  # of something else
        (b'{"id":7,"result":{', None),  # an answer gets none
        (b'{"id":1e999,"method":"a/b",', None),
        (b'{"id":"\\ud8","method":"a/b",', None),
        (b'{"params":{"x":NaN},"method":"a/b","id":"x"}', "x"),  # but for the constant it is JSON
        (b'{"params":{"x":NaN},"method":"a/b","id":true}', None),
        (b'{"params":{"x":NaN,"id":7},"result":1}', None),
        (b"", None),
    ],
)
def test_id_of_an_unreadable_request_is_found(body: bytes, found: int | str | None) -> None:
    assert find_id(body) == found
