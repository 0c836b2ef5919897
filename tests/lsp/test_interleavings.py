"""The server's threads and tasks in many orders: whatever the order, answers belong to who asked.

The reading thread, the loop, the worker, the loading and the writing thread are the server's own.
What they said is checked as a history: one reply a request, made of the text that stood in that
document of that folder when it was asked for; nothing twice, one decode at a time.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings
from lsp import framing, protocol, scheduler, server, session
from tests.e2e.scripted_server import completion, mirror
from tests.lsp.interleaving import Loop, Stage, StuckError
from tests.lsp.test_loop import Wire, message
from tests.rounds import ROUND, count, shifted

N_SEEDS = 250 if ROUND else 30
N_MESSAGES = 25
ROOTS = ("file:///one", "file:///two")
URIS = [f"{root}/{name}" for root in ROOTS for name in ("a.py", "b.py")]
INLINE, MENU = "textDocument/inlineCompletion", "textDocument/completion"
CANCELLED = -32800
OPTIONS = {"index": False, "next_edit": False, "menu_completion": True, "deadline_ms": 60_000}


class Engine:
    """Takes its time, and answers with what it was asked."""

    def __init__(self, stage: Stage) -> None:
        self.settings = Settings()
        self.n_running = 0
        self.most_running = 0
        self._stage = stage

    def load(self) -> None:
        self._stage.sleep(0.5)

    def complete(self, request: CompletionRequest, cancel: Cancel) -> Sequence[Completion]:
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        for _ in range(self._stage.dice.randrange(5)):
            if cancel.is_set():
                break
            self._stage.sleep(0.05)
        self.n_running -= 1
        line = request.text.rpartition("\n")[2]
        said = f"{mirror(line)} of {request.path}"
        return [completion(said, request.offset, request.offset)]


class Client:
    """Types, asks, cancels and closes at random; knows what it may be told."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._texts: dict[str, str] = {}
        self._n_versions = 0
        self.asked: dict[int, tuple[str, str, str | None]] = {}  # method, URI, the right answer
        self.outdated: set[int] = set()  # asked before a later message about that document
        self.cancelled: set[int] = set()

    def messages(self) -> Iterator[dict[str, Any]]:
        folders = [{"uri": root, "name": root} for root in ROOTS]
        params = {"capabilities": {}, "initializationOptions": OPTIONS, "workspaceFolders": folders}
        yield message("initialize", params, id=0)
        for _ in range(N_MESSAGES):
            yield self._any_message()
            if self._stage.dice.random() < 0.5:
                self._stage.sleep(0.1)
        self._stage.pause(lambda: False, 30.0)
        yield message("shutdown", id=-1)
        yield message("exit")

    def _any_message(self) -> dict[str, Any]:
        dice = self._stage.dice
        uri, action = dice.choice(URIS), dice.random()
        place = {"textDocument": {"uri": uri}}
        if uri not in self._texts and action < 0.9:
            text = self._typed(uri)
            item = {"uri": uri, "languageId": "python", "version": self._n_versions, "text": text}
            return message("textDocument/didOpen", {"textDocument": item})
        if action < 0.3:
            version = {"uri": uri, "version": self._n_versions + 1}
            changes = [{"text": self._typed(uri)}]
            return message(
                "textDocument/didChange", {"textDocument": version, "contentChanges": changes}
            )
        if action < 0.35:
            self._outdate(uri, menus=True)
            self._texts.pop(uri, None)
            return message("textDocument/didClose", place)
        if action < 0.45 and self.asked:
            number = dice.choice([*self.asked])
            self.cancelled.add(number)
            return message("$/cancelRequest", {"id": number})
        return self._ask(uri, dice.choice((INLINE, INLINE, MENU)))

    def _ask(self, uri: str, method: str) -> dict[str, Any]:
        number = len(self.asked) + 1
        same = [n for n, (way, where, _) in self.asked.items() if (way, where) == (method, uri)]
        self.outdated.update(same)
        text = self._texts.get(uri)
        self.asked[number] = method, uri, text
        position = {"line": 0, "character": len(text or "")}
        params = {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": 2}}
        return message(method, params, id=number)

    def _typed(self, uri: str) -> str:
        self._n_versions += 1
        self._outdate(uri)
        self._texts[uri] = f"{uri} = {self._n_versions}"
        return self._texts[uri]

    def _outdate(self, uri: str, *, menus: bool = False) -> None:
        for number, (method, where, _) in self.asked.items():
            if where == uri and (menus or method == INLINE):
                self.outdated.add(number)


def play(seed: int, patch: pytest.MonkeyPatch) -> tuple[Client, Engine, dict[Any, Any], Counter]:
    """Let a server serve one client; return what was asked, and what was answered."""
    stage = Stage(seed)
    for module in (protocol, framing, scheduler, session):
        patch.setattr(module, "threading", stage.threading())
    for module in (scheduler, server):
        patch.setattr(module, "time", stage.time())
    job = scheduler.ScheduledRequest
    patch.setattr(
        server, "ScheduledRequest", lambda **fields: job(received_s=stage.now_s, **fields)
    )
    patch.setattr(session, "time", stage.time())
    engine, client, wire = Engine(stage), Client(stage), Wire()
    events = Loop(stage)
    try:
        out = framing.Outbox(wire.write, lambda: None)
        served = session.Session(out.put, open_engine=lambda _: engine)
        ours = server.create_server(served).protocol
        events.run_until_complete(protocol.serve(ours, client.messages(), out))
        served.scheduler.stop(10.0)
        out.close(10.0)
        left = asyncio.all_tasks(events)
        assert left == set()
    finally:
        stage.end()
        events.close()
    bodies = wire.data.split(b"Content-Length: ")[1:]
    times = Counter(body.partition(b'"id":')[2].partition(b",")[0] for body in bodies)
    return client, engine, wire.results(), times


def check(client: Client, engine: Engine, results: dict[Any, Any]) -> int:
    """Compare the answers with what was asked; return how many suggestions there were."""
    assert results.keys() == {0, -1, *client.asked}
    assert engine.most_running <= 1
    n_suggested = 0
    for number, (_, uri, text) in client.asked.items():
        result = results[number]
        if isinstance(result, dict) and result.get("code") == CANCELLED:
            assert number in client.cancelled, "cancelled, by nobody"
        elif result is None:
            assert number in client.outdated | client.cancelled, "given up without a cause"
        else:
            items = result["items"]
            said = [item.get("insertText") or item["textEdit"]["newText"] for item in items]
            if text is None:
                assert said == [], "an answer about a document that is closed"
                continue
            right = f"{mirror(text)} of {uri[len(ROOTS[0]) + 1 :]}"
            assert [one.endswith(right) for one in said] == [True], (said, right)
            n_suggested += 1
    return n_suggested


def test_answers_belong_to_who_asked_in_every_order(monkeypatch: pytest.MonkeyPatch) -> None:
    n_suggested = 0
    for seed in range(shifted(0), shifted(N_SEEDS)):
        with monkeypatch.context() as patch:
            client, engine, results, times = play(seed, patch)
        try:
            n_suggested += check(client, engine, results)
            assert set(times.values()) == {1}, "not one reply a request"
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        count(1)
    assert n_suggested > 2 * N_SEEDS


def test_a_seed_is_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = []
    for seed in (5, 5, 6):
        with monkeypatch.context() as patch:
            client, _, results, _ = play(seed, patch)
        histories.append((client.asked, results))
    assert histories[0] == histories[1] != histories[2]


def test_control_a_scheduler_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlocked(self: scheduler.Scheduler, job: scheduler.ScheduledRequest) -> None:
        older = [other for other in self._unsettled() if other.key == job.key]
        if self._thread is None:
            self._thread = scheduler.threading.Thread(target=self._run)
            self._thread.start()
        self._queue = {job.key: job}  # whoever else waits is forgotten
        with self._changed:
            self._changed.notify_all()
        self._give_up(older)

    monkeypatch.setattr(scheduler.Scheduler, "submit", unlocked)
    with pytest.raises((AssertionError, StuckError)):
        test_answers_belong_to_who_asked_in_every_order(monkeypatch)
