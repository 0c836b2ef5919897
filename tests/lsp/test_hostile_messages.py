"""Twenty thousand seeded messages that no editor should send: each request gets one reply, no more.

The same stream makes the library as it comes fail, which shows that it would be noticed.
"""

import asyncio
import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pygls.lsp.server import LanguageServer

from lsp.framing import MessageReader, frame, values
from tests.e2e.scripted_server import mirror
from tests.lsp.test_protocol import ASKED, INLINE, PLACE, URI, Bench, PlainProtocol, new_server
from tests.rounds import count, shifted

N_MESSAGES = 20_000
N_CONTROL = 300
FIRST_ID = 10_000
ODD = [
    None, True, -1, 0.5, 2**70, float("inf"), "", "secret", "\ud83d", "x" * 5_000, [], {}, [[]],
    {"a": 1}, "file:///%", {"line": -1, "character": 0}, {"start": PLACE, "end": PLACE}, [None] * 9,
]  # fmt: skip
SPAN = {"start": PLACE, "end": PLACE}
GOOD: list[tuple[bool, str, Any]] = [
    (True, INLINE, ASKED),
    (True, "textDocument/completion", {"textDocument": {"uri": URI}, "position": PLACE}),
    (True, "workspace/executeCommand", {"command": "foretype.status", "arguments": []}),
    (True, "workspace/executeCommand", {"command": "foretype.why", "arguments": [{"uri": URI}]}),
    (True, "workspace/executeCommand", {"command": "foretype.dismissNextEdit"}),
    (True, "textDocument/copilotInlineEdit",
     {"textDocument": {"uri": URI, "version": 1}, "position": PLACE}),
    (True, "textDocument/codeAction",
     {"textDocument": {"uri": URI}, "range": SPAN, "context": {"diagnostics": []}}),
    (True, "no/such", {}),
    (False, "initialized", {}),
    (False, "$/cancelRequest", {"id": 3}),
    (False, "textDocument/didOpen",
     {"textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": "x = secret"}}),
    (False, "textDocument/didChange",
     {"textDocument": {"uri": URI, "version": 2},
      "contentChanges": [{"range": SPAN, "text": "secret"}]}),
    (False, "textDocument/didClose", {"textDocument": {"uri": URI}}),
    (False, "textDocument/didSave", {"textDocument": {"uri": URI}}),
    (False, "workspace/didChangeConfiguration", {"settings": {"foretype": {"enabled": True}}}),
    (False, "workspace/didChangeWatchedFiles", {"changes": [{"uri": URI, "type": 1}]}),
    (False, "workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": []}}),
]  # fmt: skip


def messages(seed: int, n: int) -> Iterator[tuple[bytes, int | None]]:
    """Yield the bytes of a message and the id that it must be answered with, None if that is open.

    Each has an id of its own, all of as many digits: one that loses a digit is none of the others.
    """
    dice = random.Random(seed)
    for number in range(FIRST_ID, FIRST_ID + n):
        is_request, method, params = copy.deepcopy(dice.choice(GOOD))
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        if is_request:
            message = {"id": number, **message}
        for _ in range(dice.randrange(3)):
            _spoil(message, dice)
        body = json.dumps(message).encode("utf-8", "surrogatepass")
        how = dice.random()
        if how < 0.8:
            is_sure = message.get("id") == number and "method" in message
            is_read = "Infinity" not in body.decode("utf-8", "replace")
            yield frame(body), number if is_sure and is_read else None
        elif how < 0.9:
            at = dice.randrange(len(body))
            byte = bytes([dice.randrange(256)])
            if byte.isdigit() and body[at : at + 1].isdigit():
                byte = b"x"  # or the id of one request could become that of another
            yield frame(body[:at] + byte + body[at + 1 :]), None
        else:
            yield frame(body[: dice.randrange(len(body))]), None


def _spoil(value: Any, dice: random.Random) -> None:
    """Change, drop or add one member, at any depth."""
    while True:
        key = dice.choice([*value] if isinstance(value, dict) else range(len(value) or 1))
        inner = value[key] if isinstance(value, dict) or value else None
        if not (isinstance(inner, dict | list) and inner and dice.random() < 0.6):
            break
        value = inner
    if isinstance(value, list) and not value:
        value.append(copy.deepcopy(dice.choice(ODD)))
    elif isinstance(value, dict) and dice.random() < 0.3:
        del value[key]
        value[dice.choice(["id", "params", "result", "range", "more"])] = copy.deepcopy(
            dice.choice(ODD)
        )
    else:
        value[key] = copy.deepcopy(dice.choice(ODD))


async def feed(bench: Bench, seed: int, n: int) -> set[int]:
    """Let a server handle messages; return the ids that it owes a reply."""
    owed = set()
    for data, number in messages(seed, n):
        pieces = [data]
        for value in values(MessageReader(lambda _, p=pieces: p.pop() if p else b"")):
            bench.server.protocol.receive(value)
        if number is not None:
            owed.add(number)
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait([task], timeout=20)
    return owed


@pytest.mark.asyncio
async def test_each_request_of_a_hostile_client_gets_one_reply(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    bench = Bench(new_server())
    request.addfinalizer(lambda: bench.server.session.stop(20))
    bench.receive(id=0, method="initialize", params={"capabilities": {}})
    owed = await feed(bench, seed=shifted(20_261_129), n=N_MESSAGES)
    count(N_MESSAGES)
    replies = Counter(item["id"] for item in bench.sent if type(item.get("id")) is int)
    assert len(owed) > N_MESSAGES / 6
    assert {number for number in owed if replies[number] != 1} == set()
    known = range(FIRST_ID, FIRST_ID + N_MESSAGES)
    assert {number for number, times in replies.items() if times > 1 and number in known} == set()
    assert "secret" not in caplog.text
    bench.receive(method="workspace/didChangeConfiguration", params={"settings": {}})
    item = {"uri": URI, "languageId": "python", "version": 1, "text": "x ="}
    bench.receive(method="textDocument/didOpen", params={"textDocument": item})
    bench.forget()
    bench.receive(id=1, method=INLINE, params=ASKED)
    while (answer := await bench.answer())["id"] != 1:  # one of the stream's was still on its way
        pass
    assert answer["result"]["items"][0]["insertText"] == mirror("x =")


@pytest.mark.asyncio
async def test_control_the_library_owes_replies_or_fails() -> None:
    bench = Bench(LanguageServer("control", "1", protocol_cls=PlainProtocol))
    bench.receive(id=0, method="initialize", params={"capabilities": {}})
    with pytest.raises(Exception):  # noqa: B017  whichever comes first
        await feed(bench, seed=20_261_129, n=N_CONTROL)
