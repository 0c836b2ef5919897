"""Every request is answered once, faults are one line, and nothing is kept of what is done."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol

from lsp.framing import Malformed
from lsp.server import Server, create_server
from lsp.session import Session
from tests.e2e.scripted_server import ScriptedEngine, mirror

URI = "file:///w/a.py"
PLACE = {"line": 0, "character": 3}
INLINE = "textDocument/inlineCompletion"
ASKED = {"textDocument": {"uri": URI}, "position": PLACE, "context": {"triggerKind": 1}}


class Bench:
    """An initialized server and what it sent since."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.sent: list[dict[str, Any]] = []
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        server.protocol.set_writer(self, include_headers=False)

    def write(self, body: bytes) -> None:
        self.sent.append(json.loads(body))
        self._answers.put_nowait(self.sent[-1])

    def close(self) -> None:
        """Nothing to do."""

    def receive(self, **message: Any) -> None:
        self.server.protocol.receive({"jsonrpc": "2.0", **message})

    def forget(self) -> None:
        self.sent.clear()
        self._answers = asyncio.Queue()

    def errors(self) -> list[tuple[Any, int]]:
        return [(message["id"], message["error"]["code"]) for message in self.sent]

    async def answer(self) -> Any:
        """The next message that is sent."""
        async with asyncio.timeout(10):
            return await self._answers.get()


def new_server() -> Server:
    session = Session(lambda _: None, open_engine=lambda _: ScriptedEngine())
    return create_server(session)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(new_server())
    bench.receive(id=0, method="initialize", params={"capabilities": {}})
    bench.forget()
    item = {"uri": URI, "languageId": "python", "version": 1, "text": "x = secret"}
    bench.receive(method="textDocument/didOpen", params={"textDocument": item})
    yield bench
    bench.server.session.scheduler.stop(10)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was complained about; a model that is loaded meanwhile says so as information."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name != "asyncio"
    ]


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (Malformed("noise"), (None, -32700)),
        (Malformed("noise", b'{"id":7,"method":"shutdown","params":{'), (7, -32700)),
        ({"id": float("inf"), "method": "shutdown"}, (None, -32600)),
        (None, (None, -32600)),
        ("text", (None, -32600)),
        ([], (None, -32600)),
        ({}, (None, -32600)),
        ({"id": 1}, (1, -32600)),
        ({"id": "a", "method": 5}, ("a", -32600)),
        ({"id": 1.5, "method": "x", "jsonrpc": "2.0"}, (1.5, -32600)),
        ({"id": None, "method": "x", "jsonrpc": "2.0"}, (None, -32600)),
        ({"id": True, "method": "x", "jsonrpc": "2.0"}, (None, -32600)),
        ({"id": {}, "method": "x", "jsonrpc": "2.0"}, (None, -32600)),
        ({"id": 1, "method": "shutdown"}, (1, -32600)),
        ([{"id": 7, "method": "shutdown", "jsonrpc": "2.0"}], (7, -32600)),
        ({"id": 1, "method": "no/such", "jsonrpc": "2.0"}, (1, -32601)),
        ({"id": 1, "method": "textDocument/didOpen", "jsonrpc": "2.0"}, (1, -32601)),
        ({"id": 1, "method": "initialize", "jsonrpc": "2.0", "params": {}}, (1, -32600)),
        ({"id": 1, "method": INLINE, "jsonrpc": "2.0"}, (1, -32602)),
        ({"id": 1, "method": "workspace/executeCommand", "jsonrpc": "2.0"}, (1, -32602)),
    ],
)
def test_bad_message_is_refused_with_its_id_and_one_line(
    bench: Bench, value: Any, answer: tuple[Any, int], caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.protocol.receive(value)
    assert bench.errors() == [answer]
    assert len(warnings_in(caplog)) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "value",
    [
        {"id": 1, "result": None},
        {"id": 1, "error": {}},
        {"method": "no/such", "jsonrpc": "2.0"},
        {"method": "$/cancelRequest", "jsonrpc": "2.0", "params": {"id": "unknown"}},
        {"method": "initialized", "jsonrpc": "2.0", "params": {}},
    ],
)
async def test_what_needs_no_answer_gets_none(
    bench: Bench, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.protocol.receive(value)
    assert (bench.sent, warnings_in(caplog)) == ([], [])


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({**ASKED, "position": {"line": "0", "character": 0}}, "params.position.line"),
        ({**ASKED, "position": {"line": 0, "character": True}}, "params.position.character"),
        ({**ASKED, "position": {"line": 0, "character": 0.5}}, "params.position.character"),
        ({**ASKED, "textDocument": {"uri": 5}}, "params.text_document.uri"),
        ({**ASKED, "textDocument": "secret"}, "params.text_document"),
    ],
)
def test_wrong_member_is_named_without_its_value(bench: Bench, params: Any, wrong: str) -> None:
    bench.receive(id=1, method=INLINE, params=params)
    (answer,) = bench.sent
    assert answer["error"]["code"] == -32602
    assert f"message.{wrong}" in answer["error"]["message"]
    assert "secret" not in answer["error"]["message"]


def test_initialize_with_wrong_params_is_refused_and_may_come_again() -> None:
    bench = Bench(new_server())
    bench.receive(id=1, method="initialize", params=[])
    assert bench.errors() == [(1, -32602)]
    bench.receive(id=2, method="initialize", params={"capabilities": {}})
    assert bench.server.workspace.opened(URI) is None
    assert len(bench.sent) == 1
    bench.server.session.stop(10)


def test_requests_before_initialize_wait_for_nothing() -> None:
    bench = Bench(new_server())
    bench.receive(id=1, method=INLINE, params=ASKED)
    bench.receive(method="textDocument/didClose", params={"textDocument": {"uri": URI}})
    assert bench.errors() == [(1, -32002)]


def test_after_shutdown_only_exit_counts(bench: Bench) -> None:
    bench.receive(id=1, method="shutdown")
    bench.receive(id=2, method=INLINE, params=ASKED)
    bench.receive(method="textDocument/didClose", params={"textDocument": {"uri": URI}})
    assert bench.sent[0] == {"jsonrpc": "2.0", "id": 1, "result": None}
    assert bench.sent[1]["error"]["code"] == -32600
    assert bench.server.workspace.opened(URI) is not None
    assert (bench.server.protocol.is_exiting, bench.server.session.exit_code) == (False, 0)
    bench.receive(method="exit")
    assert bench.server.protocol.is_exiting


@pytest.mark.parametrize(
    "changes",
    [
        [{"text": 5}],
        [{"range": {"start": PLACE}, "text": "x"}],
        [{"range": {"start": {"line": -1, "character": 0}, "end": PLACE}, "text": "x"}],
        None,
    ],
)
def test_failed_edit_silences_the_document_until_its_full_text(
    bench: Bench, changes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    document = {"uri": URI, "version": 2}
    method = "textDocument/didChange"
    bench.receive(method=method, params={"textDocument": document, "contentChanges": changes})
    assert bench.server.workspace.completable(URI) is None
    assert len(warnings_in(caplog)) == 1
    assert "secret" not in caplog.text
    whole = {"text": "whole", "range": None}  # some clients send the null
    bench.receive(method=method, params={"textDocument": document, "contentChanges": [whole]})
    assert bench.server.workspace.completable(URI).source == "whole"


@pytest.mark.parametrize(
    ("method", "is_trusted"), [(INLINE, True), ("textDocument/didOpen", False)]
)
def test_only_a_lost_change_of_the_text_costs_trust(
    bench: Bench, method: str, is_trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    bench.receive(method=method, params={"textDocument": {"uri": URI}})
    assert (bench.server.workspace.completable(URI) is not None) == is_trusted
    assert (bench.sent, len(warnings_in(caplog))) == ([], 1)


def test_failing_handler_is_answered_without_its_text(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @bench.server.command("fail")
    def fail(*_: object) -> None:
        raise ValueError("secret")

    bench.receive(id=1, method="workspace/executeCommand", params={"command": "fail"})
    bench.receive(id=2, method="workspace/executeCommand", params={"command": "unknown"})
    assert bench.errors() == [(1, -32603), (2, -32602)]
    assert "ValueError at" in bench.sent[0]["error"]["message"]
    assert len(warnings_in(caplog)) == 2
    assert "secret" not in json.dumps(bench.sent) + caplog.text


@pytest.mark.asyncio
async def test_failing_notification_is_a_line_without_its_text(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @bench.server.feature("window/workDoneProgress/cancel")
    async def fail(*_: object) -> None:
        raise ValueError("secret")

    bench.receive(method="window/workDoneProgress/cancel", params={"token": 1})
    for _ in range(3):  # it begins, ends, and is looked at
        await asyncio.sleep(0)
    assert [line.partition(" at ")[0] for line in warnings_in(caplog)] == [
        "notification failed: ValueError"
    ]
    assert "secret" not in caplog.text
    assert bench.sent == []


@pytest.mark.parametrize("place", [{"uri": 5}, 5, None])
def test_change_of_no_document_costs_no_document_its_trust(bench: Bench, place: Any) -> None:
    params = {"textDocument": place, "contentChanges": [{"text": "secret"}]}
    bench.receive(method="textDocument/didChange", params=params)
    assert bench.server.workspace.completable(URI).source == "x = secret"
    assert bench.sent == []


def test_params_nested_too_deep_are_refused(bench: Bench) -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = [deep]
    bench.receive(id=1, method="textDocument/codeAction", params=deep)
    bench.receive(id=2, method=INLINE, params={"textDocument": deep, "position": deep})
    assert bench.errors() == [(1, -32602), (2, -32602)]


@pytest.mark.asyncio
async def test_menus_are_served_whatever_their_context() -> None:
    bench = Bench(new_server())
    params = {"capabilities": {}, "initializationOptions": {"menu_completion": True}}
    bench.receive(id=0, method="initialize", params=params)
    item = {"uri": URI, "languageId": "python", "version": 1, "text": "x = secret"}
    bench.receive(method="textDocument/didOpen", params={"textDocument": item})
    bench.forget()
    asked = {"textDocument": {"uri": URI}, "position": PLACE, "context": {"triggerKind": "odd"}}
    bench.receive(id=1, method="textDocument/completion", params=asked)
    answer = await bench.answer()
    assert answer["result"]["items"][0]["textEdit"]["newText"].endswith(mirror("x ="))
    bench.server.session.stop(10)


@pytest.mark.asyncio
async def test_what_a_menu_has_chosen_is_gone_on_with(bench: Bench) -> None:
    replace_text(bench, 2, "x = ab")
    span = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 6}}
    context = {"triggerKind": 2, "selectedCompletionInfo": {"range": span, "text": "abcd"}}
    params = {**ASKED, "position": {"line": 0, "character": 6}, "context": context}
    bench.receive(id=1, method=INLINE, params=params)
    (item,) = (await bench.answer())["result"]["items"]
    assert item["insertText"] == "abcd" + mirror("x = abcd")


@pytest.mark.asyncio
async def test_edits_are_offered_by_their_own_request(bench: Bench) -> None:
    params = {"textDocument": {"uri": URI, "version": 1}, "position": PLACE}
    bench.receive(id=1, method="textDocument/copilotInlineEdit", params=params)
    assert (await bench.answer())["result"] == {"edits": []}


@pytest.mark.asyncio
async def test_any_trigger_kind_is_served(bench: Bench) -> None:
    odd = [{"triggerKind": 0}, {"triggerKind": "typed"}, {"triggerKind": True}, None, 5]
    for number, context in enumerate(odd):
        bench.receive(id=number, method=INLINE, params={**ASKED, "context": context})
        answer = await bench.answer()
        assert answer["result"]["items"][0]["insertText"] == mirror("x =")


@pytest.mark.asyncio
async def test_only_who_asks_by_hand_gets_several(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(ScriptedEngine, "complete", lambda _, it, __: asked.append(it.n) or [])
    for number, kind in enumerate((1, 2, "1", True)):
        bench.receive(id=number, method=INLINE, params={**ASKED, "context": {"triggerKind": kind}})
        await bench.answer()
    assert asked == [5, 1, 1, 1]


def replace_text(bench: Bench, version: int, text: str) -> None:
    document = {"uri": URI, "version": version}
    params = {"textDocument": document, "contentChanges": [{"text": text}]}
    bench.receive(method="textDocument/didChange", params=params)


@pytest.mark.asyncio
async def test_edit_makes_an_earlier_request_pointless(bench: Bench) -> None:
    replace_text(bench, 2, "slow")
    bench.receive(id=1, method=INLINE, params={**ASKED, "position": {"line": 0, "character": 4}})
    await asyncio.sleep(0)
    replace_text(bench, 3, "later")
    assert await bench.answer() == {"jsonrpc": "2.0", "id": 1, "result": None}


@pytest.mark.asyncio
async def test_cancelling_stops_the_engine(bench: Bench) -> None:
    other = {"uri": "file:///w/b.py", "languageId": "python", "version": 1, "text": "x = 1"}
    bench.receive(method="textDocument/didOpen", params={"textDocument": other})
    replace_text(bench, 2, "slow")
    bench.receive(id=1, method=INLINE, params={**ASKED, "position": {"line": 0, "character": 4}})
    await asyncio.sleep(0.01)
    bench.receive(method="$/cancelRequest", params={"id": 1})
    assert (await bench.answer())["error"]["code"] == -32800
    bench.receive(id=2, method=INLINE, params={**ASKED, "textDocument": other})
    answer = await bench.answer()  # not if the only worker still decoded for half a minute
    assert answer["result"]["items"][0]["insertText"] == mirror("x =")


@pytest.mark.asyncio
async def test_engine_that_does_not_end_costs_no_reply(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lsp.server.OVERDUE_S", -0.55)  # of 0.6 s
    replace_text(bench, 2, "slow")
    bench.receive(id=1, method=INLINE, params={**ASKED, "position": {"line": 0, "character": 4}})
    assert (await bench.answer())["result"] == {"items": []}
    assert warnings_in(caplog) == ["no suggestion: the engine is overdue"]


@pytest.mark.asyncio
async def test_fault_in_completing_is_an_empty_list_and_one_line(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.workspace.opened(URI)._lines = None
    bench.receive(id=1, method=INLINE, params=ASKED)
    answer = await bench.answer()
    assert answer["result"] == {"items": []}
    assert [said[:14] for said in warnings_in(caplog)] == ["no suggestion:"]


def test_an_answer_to_a_question_of_ours_says_whether_it_is_granted(bench: Bench) -> None:
    granted: list[bool] = []
    for reply in ({"result": None}, {"error": {"code": -32601, "message": "no"}}):
        bench.server.session.ask("client/registerCapability", {}, granted.append)
        bench.receive(id=f"foretype-{bench.server.session._n_asked}", **reply)
    assert granted == [True, False]


def edit_fifty_times(bench: Bench) -> None:
    for version in range(2, 52):
        replace_text(bench, version, "x")


def test_nothing_is_kept_of_notifications(bench: Bench) -> None:
    edit_fifty_times(bench)
    assert bench.server.protocol._request_futures == {}


class PlainProtocol(LanguageServerProtocol):
    """The library's, fed as ours is."""

    def receive(self, value: Any) -> None:
        self.handle_message(self.structure_message(value))


def test_control_the_library_keeps_something_of_each() -> None:
    bench = Bench(LanguageServer("control", "1", protocol_cls=PlainProtocol))
    bench.receive(id=0, method="initialize", params={"capabilities": {}})
    item = {"uri": URI, "languageId": "python", "version": 1, "text": ""}
    bench.receive(method="textDocument/didOpen", params={"textDocument": item})
    edit_fifty_times(bench)
    assert len(bench.server.protocol._request_futures) >= 50
