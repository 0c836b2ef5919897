"""Messages are read or refused with the right code; a request is answered once."""

import json
import threading
from typing import Any

import pytest

from lsp.jsonrpc import INVALID_REQUEST, PARSE_ERROR, Message, Reply, RpcError, dump, load, read


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b'{"a":' + b"1" * 5000 + b"}", b'{"a":"\x01"}'],
)
def test_body_that_is_no_json_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        load(body)
    assert (caught.value.code, caught.value.message_id) == (PARSE_ERROR, None)


@pytest.mark.parametrize(
    ("value", "known_id"),
    [
        (None, None),
        ("text", None),
        ([], None),
        ({}, None),
        ({"id": 1}, 1),
        ({"id": "a", "method": 5}, "a"),
        ({"id": None, "method": "x"}, None),
        ({"id": True, "method": "x"}, None),
        ({"id": {}, "method": "x"}, None),
    ],
)
def test_value_that_is_no_message_is_refused_with_its_id(value: Any, known_id: Any) -> None:
    with pytest.raises(RpcError) as caught:
        read(value)
    assert (caught.value.code, caught.value.message_id) == (INVALID_REQUEST, known_id)


def test_requests_notifications_and_answers_are_told_apart() -> None:
    assert read({"id": 1, "method": "m", "params": [2]}) == Message("m", [2], 1)
    assert read({"id": 1.5, "method": "m"}) == Message("m", None, 1.5)
    assert read({"method": "m", "params": {}}) == Message("m", {})
    assert read({"id": 1, "result": None}) is None
    assert read({"id": 1, "error": {}}) is None


def test_first_reply_counts() -> None:
    sent: list[dict[str, Any]] = []
    reply = Reply("a", sent.append)
    assert not reply.is_sent
    assert reply.result({"items": []})
    assert not reply.error(-1, "late")
    assert not reply.result(None)
    assert reply.is_sent
    assert sent == [{"id": "a", "result": {"items": []}}]


def test_one_reply_from_many_threads() -> None:
    sent: list[dict[str, Any]] = []
    reply = Reply(1, sent.append)
    start = threading.Barrier(8)

    def answer() -> None:
        start.wait(10)
        reply.result(None)

    threads = [threading.Thread(target=answer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(sent) == 1


def test_any_string_can_be_sent() -> None:
    text = "\ud83d alone, \U0001f600, \u2028, \x00"
    assert json.loads(dump({"result": text})) == {"jsonrpc": "2.0", "result": text}
