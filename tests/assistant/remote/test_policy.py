"""When a server is asked, and what its answer is worth."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.cancel import Cancel
from assistant.completion import CompletionRequest
from assistant.remote.answers import RemoteText
from assistant.remote.ledger import Ledger, state_dir
from assistant.remote.limits import Breaker
from assistant.remote.policy import Remote, Ticket
from assistant.remote.settings import RemoteSettings
from tests.remote_server import RemoteServer, Reply, completion, plain, remote_server

TEXT = "def add(a, b):\n    return "
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
OPENED = time.monotonic


class Desk:
    """A Remote for one server, and a folder with the file that is completed."""

    def __init__(self, folder: Path, server: RemoteServer, **changes: Any) -> None:
        table: dict[str, Any] = {
            "mode": "fallback", "provider": "openai", "url": server.url, "model": "m",
            "send_code_to": "127.0.0.1", "wait_ms": 60_000, "read_s": 5.0,
        }  # fmt: skip
        (folder / "a.py").write_text(TEXT)
        self.server = server
        self.remote = Remote(RemoteSettings(**(table | changes)), folder.joinpath)
        self.ledger = Ledger(state_dir())

    def request(self, text: str = TEXT, path: str = "a.py") -> CompletionRequest:
        offset = text.index("|") if "|" in text else len(text)
        return CompletionRequest(path=path, text=text.replace("|", "", 1), offset=offset)

    def ask(
        self,
        text: str = TEXT,
        *,
        confidence: float | None = None,
        cancel: Cancel | None = None,
        path: str = "a.py",
    ) -> str | None:
        """Go through before and after as the engine does; return the server's text."""
        ticket = self.remote.before(self.request(text, path), blocks=True)
        answer = self.after(ticket, confidence, cancel)
        return answer.text if answer else None

    def after(
        self, ticket: Ticket | None, confidence: float | None = None, cancel: Cancel | None = None
    ) -> RemoteText | None:
        return self.remote.after(
            ticket, confidence=confidence, deadline=OPENED() + 30, cancel=cancel or Cancel()
        )

    def settle(self) -> None:
        """Wait until nothing is under way."""
        eventually(lambda: self.remote._transport.n_flights == 0)

    def rows(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.ledger.rows() if row["event"] == event]


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []
    exits: list[Any] = []

    def opener(*replies: Any, **changes: Any) -> Desk:
        context = remote_server(*replies)
        desk = Desk(tmp_path, context.__enter__(), **changes)
        opened.append(desk)
        exits.append(context)
        return desk

    yield opener
    for desk in opened:
        desk.remote.close()
    for context in exits:
        context.__exit__(None, None, None)


def test_without_consent_nothing_is_sent(open_desk: Callable[..., Desk]) -> None:
    for mode in ("fallback", "race", "only"):
        desk = open_desk(completion("a + b"), mode=mode, send_code_to="")
        assert desk.ask() is None
        assert desk.server.received == []
        assert 'send_code_to = "127.0.0.1"' in desk.remote.complaint
        assert desk.remote.status()["state"] == "needs consent"


def test_a_missing_local_answer_is_waited_for(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk([0.05, *completion("a + b")])
    assert desk.ask() == "a + b"
    desk.settle()
    assert desk.remote.status()["state"] == desk.remote.status()["said"] == "ready"


def test_a_sure_local_answer_sends_nothing(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("a + b"))
    assert desk.ask(confidence=0.9) is None
    assert desk.server.received == []


def test_an_unsure_local_answer_is_not_kept_waiting(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk([0.3, *completion("a + b")])
    assert desk.ask(confidence=0.1) is None
    assert desk.server.received == [] or not desk.server.received[0].sent
    desk.settle()
    assert desk.ask(confidence=0.1) == "a + b"  # the next keystroke has it
    assert desk.ask(TEXT + "a ", confidence=0.1) == "+ b"
    assert len(desk.server.received) == 1


def test_a_sure_local_answer_outranks_a_kept_one(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("a + b"))
    assert desk.ask(confidence=0.1) is None
    desk.settle()
    assert desk.ask(confidence=0.9) is None


def test_late_answers_can_be_dropped(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], late="drop")
    assert desk.ask(confidence=0.1) is None
    desk.settle()
    assert [row["outcome"] for row in desk.rows("ended")] in ([], ["stopped"])


def test_waiting_follows_the_requests_deadline(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], wait_ms=60_000)
    ticket = desk.remote.before(desk.request(), blocks=True)
    began = time.monotonic()
    answer = desk.remote.after(ticket, confidence=None, deadline=began + 0.2, cancel=Cancel())
    assert answer is None
    assert 0.1 < time.monotonic() - began < 0.2 + 2
    assert RemoteSettings().wait_ms > 10_000  # the deadline alone ends it by default


def test_a_deadline_that_is_over_is_not_waited_for(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"])
    ticket = desk.remote.before(desk.request(), blocks=True)
    began = time.monotonic()
    assert desk.remote.after(ticket, confidence=None, deadline=began, cancel=Cancel()) is None
    assert time.monotonic() - began < 1


def test_waiting_ends_after_the_settings_time(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], wait_ms=50)
    began = time.monotonic()
    assert desk.ask() is None
    assert time.monotonic() - began < 2


def test_waiting_ends_when_the_request_is_cancelled(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"])
    cancel = Cancel()
    threading.Timer(0.05, cancel.set).start()
    began = time.monotonic()
    assert desk.ask(cancel=cancel) is None
    assert time.monotonic() - began < 3


def test_typing_on_takes_over_the_question(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk([0.3, *completion("a + b")])
    assert desk.ask(confidence=0.1) is None
    assert (
        desk.ask(
            TEXT + "a",
        )
        == " + b"
    )
    assert len(desk.server.received) == 1


def test_a_question_that_was_stopped_is_asked_anew(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], completion("a + b"), mode="race")
    first = desk.remote.before(desk.request(), blocks=True)
    desk.server.wait_received()
    assert desk.after(first, confidence=0.9) is None  # the local one was enough: it is stopped
    assert desk.ask() == "a + b"


def test_another_text_stops_the_earlier_question(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], completion("x"))
    assert desk.ask(confidence=0.1) is None
    desk.server.wait_received()
    assert desk.ask("import os\nos.") == "x"
    desk.server.wait_closed()


def test_a_new_line_is_past_a_question_about_one_line(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], completion("x"))
    assert desk.ask(confidence=0.1) is None
    desk.server.wait_received()
    assert desk.ask(TEXT + "a\n    b = ") == "x"
    desk.server.wait_closed()


def test_a_race_asks_before_the_local_answer(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("a + b"), mode="race")
    ticket = desk.remote.before(desk.request(), blocks=True)
    desk.settle()
    answer = desk.after(ticket, confidence=0.1)
    assert answer is not None
    assert answer.text == "a + b"


def test_a_race_that_local_wins_hangs_up(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], mode="race")
    ticket = desk.remote.before(desk.request(), blocks=True)
    desk.server.wait_received()
    assert desk.after(ticket, confidence=0.9) is None
    desk.server.wait_closed()


def test_only_replaces_the_local_model(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("a + b"), mode="only")
    assert desk.remote.replaces_local
    assert desk.ask() == "a + b"


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (".env", {}),
        ("id_rsa.py", {}),
        ("a.py", {"deny": ("*.py",)}),
        ("a.py", {"allow": ("src/*",)}),
        ("a.py", {"languages": ("rust",)}),
        ("a.unknown", {}),
        ("gone.py", {}),
    ],
)
@pytest.mark.parametrize("mode", ["fallback", "race"])
def test_files_that_must_stay_do(
    path: str, changes: dict[str, Any], mode: str, open_desk: Callable[..., Desk]
) -> None:
    desk = open_desk(completion("a + b"), mode=mode, **changes)
    assert desk.ask(path=path) is None
    desk.settle()
    assert desk.server.received == []
    assert desk.rows("sent") == []


def test_the_ledger_agrees_with_the_server(open_desk: Callable[..., Desk]) -> None:
    busy = [plain("429 Slow", extra="Retry-After: 0\r\n")]
    replies = (completion("x"), busy, completion("y"), ["close"], [plain("500 Oops")])
    desk = open_desk(*replies, requests_per_minute=100)
    for n in range(6):
        desk.ask(f"value_{n} = '漢{n}' + ")
        desk.settle()
    sent, ended = desk.rows("sent"), desk.rows("ended")
    assert len(desk.server.received) >= 5
    assert [row["bytes_sent"] for row in sent] == [len(r.body) for r in desk.server.received]
    assert [row["bytes_sent"] for row in ended] == [row["bytes_sent"] for row in sent]
    assert {row["outcome"] for row in ended} >= {"ok", "busy", "refused"}
    assert ended[0]["prompt_tokens"] == 10


def test_a_refused_connection_sent_nothing(open_desk: Callable[..., Desk]) -> None:
    with remote_server(completion("x")) as gone:
        pass  # nobody listens there any more
    desk = open_desk(completion("x"), url=gone.url, price_in=1.0)
    assert desk.ask() is None
    desk.settle()
    ended = desk.rows("ended")
    assert {(row["outcome"], row["bytes_sent"], row["cost"]) for row in ended} == {
        ("unreachable", 0, 0.0)
    }
    assert desk.ledger.today().bytes_sent == 0


def test_usage_makes_the_cost(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("x", usage=(1_000, 10)), price_in=2.0, price_out=6.0)
    desk.ask()
    desk.settle()
    assert desk.rows("ended")[0]["cost"] == pytest.approx((1_000 * 2 + 10 * 6) / 1e6)
    assert desk.rows("sent")[0]["cost"] > 0


def test_a_spent_budget_sends_nothing(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("x"), requests_per_minute=2)
    for n in range(5):
        desk.ask(f"value_{n} = ")
        desk.settle()
    assert len(desk.server.received) == 2
    assert str(desk.remote.status()["said"]).startswith("degraded: 2 requests a minute are used")


def test_a_failing_server_is_left_alone(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk([plain("500 Oops")])
    for n in range(8):
        desk.ask(f"value_{n} = ")
        desk.settle()
    assert len(desk.server.received) == 3
    told = desk.remote.status()
    assert told["state"] == "degraded"
    assert re.fullmatch(
        r"degraded: the server answers with status 500; next try in [1-5] s", str(told["said"])
    )


def test_a_ledger_that_cannot_be_written_stops_all(
    open_desk: Callable[..., Desk], private_home: Path
) -> None:
    desk = open_desk(completion("x"))
    desk.ledger.path.mkdir()
    assert desk.ask() is None
    assert desk.server.received == []
    assert "ledger" in str(desk.remote.status()["problem"])


def test_a_missing_key_sends_nothing_and_is_named(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("x"), key_env="NO_SUCH_KEY")
    assert desk.ask() is None
    assert desk.server.received == []
    assert "NO_SUCH_KEY" in str(desk.remote.status()["problem"])
    assert desk.remote.status()["state"] == "degraded"


def test_the_key_is_in_one_header_and_nowhere_else(
    open_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("MODEL_KEY", "key-canary-4711")
    desk = open_desk(completion("x"), key_env="MODEL_KEY")
    desk.ask()
    desk.settle()
    request = desk.server.received[0]
    assert request.headers.pop("authorization") == "Bearer key-canary-4711"
    assert "key-canary" not in str(request.headers) + request.body.decode()
    assert "key-canary" not in desk.ledger.path.read_text() + caplog.text
    assert "key-canary" not in " ".join(sys.argv) + repr(desk.remote.settings)
    assert set(request.headers) == {
        "host", "accept", "accept-encoding", "content-type", "content-length", "user-agent",
        "connection",
    }  # fmt: skip
    assert request.headers["user-agent"] == "foretype"


def test_canaries_leave_by_no_way(open_desk: Callable[..., Desk], caplog: Any) -> None:
    caplog.set_level("DEBUG")

    def echo(received: Any) -> Reply:
        return completion(received.table["prompt"][-80:].replace("\n", ";"), TOKEN)

    desk = open_desk(echo, requests_per_minute=100)
    texts = [
        f'token = "{TOKEN}"\nprint(|)\n',
        f'print(|)\ntoken = "{TOKEN}"\n',
        f'token = "{TOKEN[:9]}|{TOKEN[9:]}"\n',
        f'token = "{TOKEN}|"\n',
    ]
    for text in texts:
        answer = desk.ask(text)
        assert answer is None or TOKEN not in answer
        desk.settle()
    bodies = b"".join(request.body for request in desk.server.received)
    assert len(desk.server.received) == 2
    for part in (TOKEN, TOKEN[4:], TOKEN[:12], TOKEN[-12:]):
        assert part.encode() not in bodies
        assert part not in desk.ledger.path.read_text()
        assert part not in caplog.text


def test_an_answer_that_hides_something_is_not_shown(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("a\u202eb"))
    assert desk.ask() is None


def test_the_first_question_finds_httpx_imported(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("x"))
    desk.remote.warm_up()
    desk.remote.warm_up()
    assert desk.ask() == "x"


def test_a_probe_after_the_pause_heals(open_desk: Callable[..., Desk]) -> None:
    now = [0.0]
    desk = open_desk(*[[plain("500 Oops")]] * 3, completion("x"))
    desk.remote._breaker = breaker = Breaker(lambda: now[0])
    desk.remote._clerk._breaker = breaker
    for n in range(4):
        assert desk.ask(f"value_{n} = ") is None
        desk.settle()
    now[0] = 6.0
    assert str(desk.remote.status()["said"]).endswith("; next try with the next suggestion")
    assert desk.ask("other = ") == "x"
    desk.settle()
    assert desk.remote.status()["state"] == "ready"
