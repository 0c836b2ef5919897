"""Streams cut at any byte give the same objects, and any bytes at all give objects or our error."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.remote.errors import RemoteError
from assistant.remote.streams import MAX_LINE_BYTES, ObjectReader, parse_object

TABLES = [{"text": "größe 漢 😀\r\n"}, {"n": 12345, "list": [1, [2]]}, {"": ""}]


def read(framing: str, chunks: list[bytes]) -> list[Any]:
    reader = ObjectReader(has_events=framing == "sse")
    found = [table for chunk in chunks for table in reader.feed(chunk)]
    return [*found, *reader.close()]


def sse(newline: str = "\n") -> bytes:
    lines = [": a comment", ""]
    for table in TABLES:
        lines += ["event: x", f"data: {json.dumps(table, ensure_ascii=False)}", ""]
    return newline.join([*lines, "data: [DONE]", "", "data: 1", "", ""]).encode()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_events_survive_any_cut(newline: str, data: st.DataObject) -> None:
    text = sse(newline)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read("sse", chunks) == TABLES


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_lines_survive_any_cut(newline: str, data: st.DataObject) -> None:
    text = newline.join(json.dumps(table) for table in [*TABLES, *TABLES]).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read("ndjson", chunks) == [*TABLES, *TABLES]


@pytest.mark.parametrize("framing", ["sse", "ndjson"])
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"data: {", b"{}\n", b"\n\n", b"\r"])))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_objects_or_our_error(framing: str, chunks: list[bytes]) -> None:
    try:
        found = read(framing, chunks)
    except RemoteError:
        return
    assert all(isinstance(table, dict) for table in found)


def test_a_missing_last_line_end_is_forgiven() -> None:
    assert read("sse", [b'data: {"a": 1}']) == [{"a": 1}]
    assert read("ndjson", [b'{"a": 1}']) == [{"a": 1}]


@pytest.mark.parametrize(
    ("framing", "data"), [("sse", b'data: {"a": '), ("ndjson", b'{"a": 1}\n{"a"')]
)
def test_an_end_inside_an_object_is_a_break(framing: str, data: bytes) -> None:
    with pytest.raises(RemoteError):
        read(framing, [data])


def test_nothing_is_read_after_done() -> None:
    reader = ObjectReader(has_events=True)
    assert list(reader.feed(b"data: [DONE]\n\ndata: nonsense\n\n")) == []
    assert reader.is_done


def test_invalid_utf8_is_an_error() -> None:
    with pytest.raises(RemoteError, match="UTF-8"):
        read("ndjson", [b'{"a": "\xc3"}\n'])


def test_an_endless_line_is_an_error() -> None:
    with pytest.raises(RemoteError, match="line"):
        read("ndjson", [b"x" * (MAX_LINE_BYTES + 1)])


@pytest.mark.parametrize(
    "text", ["", "1", "[]", "nul", "[" * 100_000, '{"a":' * 100_000, "1" * 5_000, '{"a": NaNN}']
)
def test_other_json_is_not_understood(text: str) -> None:
    with pytest.raises(RemoteError):
        parse_object(text.encode())


def test_brackets_in_texts_are_no_nesting() -> None:
    assert parse_object(json.dumps({"a": "[{" * 500 + '"'}).encode()) == {"a": "[{" * 500 + '"'}
