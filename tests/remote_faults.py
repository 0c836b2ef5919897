"""What a server can do wrong: each fault as it goes over the wire, and the name that it gets."""

import gzip
import json
from typing import Any

from tests.remote_server import END, Reply, chunk, event, head, plain

_BOMB = gzip.compress(b"data: {}\n\n" * 1_000_000)
_PIECE = {"choices": [{"text": "x"}]}


def _body(*parts: bytes, extra: str = "", kind: str = "text/event-stream") -> Reply:
    return [head(kind=kind, extra=extra), *map(chunk, parts), END]


def _choice(**fields: Any) -> Reply:
    return _body(event({"choices": [fields]}))


def _raw(text: str) -> Reply:
    """An object as the server spells it: Python would not write it so."""
    return _body(f"data: {text}\n\n".encode())


FAULTS: dict[str, tuple[Reply, str]] = {
    "reset before an answer": (["reset"], "broken off"),
    "closed before an answer": (["close"], "broken off"),
    "reset in the answer": ([head(), chunk(event({"choices": [{"text": "x"}]})), "reset"],
                            "broken off"),
    "closed in the answer": ([head(), chunk(event({"choices": [{"text": "x"}]})), "close"],
                             "broken off"),
    "whole body, unfinished answer": ([head(), chunk(event({"choices": [{"text": "x"}]})), END],
                                      "broken off"),
    "silence": (["hang"], "too slow"),
    "silence in the answer": ([head(), chunk(event({"choices": [{"text": "x"}]})), "hang"],
                              "too slow"),
    "a drop at a time": ([b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "drip"],
                         "too slow"),
    "500": ([plain("500 Oops", b"{}")], "refused"),
    "404": ([plain("404 Not Found", b"{}")], "refused"),
    "401": ([plain("401 Unauthorized", b"sk-secret")], "refused"),
    "redirect elsewhere": ([plain("307 There", extra="Location: https://198.51.100.7/\r\n")],
                           "refused"),
    "redirect here": ([plain("302 There", extra="Location: /v1/other\r\n")], "refused"),
    "wrong type": ([plain("200 OK", b"{}")], "not understood"),
    "no type": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"], "not understood"),
    "compressed": ([head(extra="Content-Encoding: gzip\r\n"), chunk(b"\x1f\x8b"), END],
                   "not understood"),
    "malformed JSON": ([head(), chunk(b"data: {]\n\n"), END], "not understood"),
    "JSON of another kind": ([head(), chunk(b"data: [1]\n\n"), END], "not understood"),
    "truncated JSON": ([head(), chunk(b'data: {"choices": [{"te'), END], "broken off"),
    "an error object": ([head(), chunk(event({"error": {"message": "no"}})), END],
                        "not understood"),
    "invalid UTF-8": ([head(), chunk(b'data: {"choices": [{"text": "\xff"}]}\n\n'), END],
                      "not understood"),
    "endless answer": ([head(), chunk(b"data: 1")[:-2], "flood"], "broken off"),
    "100 MB answer": ([b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "flood"],
                      "too large"),
    "endless line": ([head(), *[chunk(b"x" * 65_536)] * 17, END], "too large"),
    "endless head": ([b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 1_000 + b"\r\n"] * 200],
                     "broken off"),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.2\r\n", "close"], "broken off"),
    "chunk size overflow": ([head(), b"fffffffffffffffffffff\r\nx"], "broken off"),
    # huge, endless
    "endless text": ([head(), "pieces"], "too large"),
    "endless empty events": ([head(), "blanks"], "too large"),
    "endless hints before the head": (["hints"], "too slow"),
    "endless head, a drop at a time": ([b"HTTP/1.1 200 OK\r\nX: ", "drip"], "too slow"),
    "one huge line of a head": ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500_000, "hang"],
                                "broken off"),
    "huge body announced, none sent": (
        [plain("200 OK", kind="text/event-stream").replace(b": 0", b": 99999999999999"), "close"],
        "broken off"),
    "body longer than announced": (
        [plain("200 OK", kind="text/event-stream"), b"data: [DONE]\n\n"], "broken off"),
    # wrong encodings
    "bomb, announced": (_body(_BOMB, extra="Content-Encoding: gzip\r\n"), "not understood"),
    "bomb, not announced": (_body(_BOMB), "broken off"),
    "bomb as a transfer": ([head().replace(b"chunked", b"gzip, chunked"), chunk(_BOMB), END],
                           "broken off"),
    **{f"{name} announced": (_body(b"x", extra=f"Content-Encoding: {name}\r\n"), "not understood")
       for name in ("br", "zstd", "deflate", "gzip, identity", "x-unknown")},
    "UTF-16": (_body('data: {"choices": [{"text": "x"}]}\n\n'.encode("utf-16")), "broken off"),
    "Latin-1, announced": (_body('data: {"choices": [{"text": "\xe9"}]}\n\n'.encode("latin-1"),
                                 kind="text/event-stream; charset=latin-1"), "not understood"),
    # other answers than the one that was asked for
    **{f"status {status}": ([plain(status, extra="Location: file:///etc/passwd\r\n")], "refused")
       for status in ("204 None", "206 Part", "301 There", "303 There", "308 There", "304 Same",
                      "400 Bad", "403 No", "407 Proxy", "418 Tea", "502 Gateway", "999 Odd")},
    "another protocol": ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "hang"],
                         "broken off"),
    "a page for guests": (_body(b"<html>Log in</html>", kind="text/html"), "not understood"),
    "lines instead of events": (_body(b"{}\n", kind="application/x-ndjson"), "not understood"),
    "two lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"],
                    "broken off"),
    "a NUL in the head": ([b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"], "broken off"),
    "an empty stream": (_body(), "broken off"),
    "done at once": (_body(b"data: [DONE]\n\n"), "ok"),
    # wrong types, absurd values
    "a list of objects": (_raw(json.dumps([_PIECE])), "not understood"),
    "choices that are an object": (_raw('{"choices": {"text": "x"}}'), "not understood"),
    "a choice that is null": (_raw('{"choices": [null]}'), "not understood"),
    "a delta that is a list": (_choice(delta=["x"]), "not understood"),
    "a text that is a number": (_choice(text=1), "not understood"),
    "a text that is an object": (_choice(text={"a": "b"}), "not understood"),
    "a reason that is a list": (_choice(text="x", finish_reason=["stop"]), "broken off"),
    "usage that is a list": (_raw('{"choices": [], "usage": [1]}'), "broken off"),
    "usage beyond all numbers": (_raw('{"choices": [], "usage": {"prompt_tokens": 1e999}}'),
                                 "broken off"),
    "logarithms beyond all numbers": (_raw(
        f'{{"choices": [{{"text": "x", "logprobs": {{"token_logprobs": [{-10**400}]}}}}]}}'),
        "broken off"),
    "a number of 5,000 digits": (_raw(f'{{"choices": [], "n": {"9" * 5_000}}}'), "not understood"),
    "nested 50,000 deep": (_raw('{"choices":' + "[" * 50_000 + "]" * 50_000 + "}"),
                           "not understood"),
}  # fmt: skip
