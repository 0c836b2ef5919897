"""What leaves is written down, paid for, and holds no secret."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.remote_desk import TOKEN, Desk
from tests.remote_server import Reply, completion, plain, remote_server


def test_the_ledger_agrees_with_the_server(open_desk: Callable[..., Desk]) -> None:
    busy = [plain("429 Slow", extra="Retry-After: 0\r\n")]
    replies = (completion("x"), busy, completion("y"), ["close"], [plain("500 Oops")])
    desk = open_desk(*replies, requests_per_minute=100)
    for n in range(6):
        desk.ask(f"value_{n} = '漢{n}' + ")
        desk.settle()
    rows = desk.rows()
    assert len(desk.server.received) == 6
    assert [row["bytes_sent"] for row in rows] == [len(r.body) for r in desk.server.received]
    assert {row["outcome"] for row in rows} >= {"ok", "busy", "refused"}
    assert rows[0]["prompt_tokens"] == 10


def test_a_refused_connection_sent_nothing(open_desk: Callable[..., Desk]) -> None:
    with remote_server(completion("x")) as gone:
        pass  # nobody listens there any more
    desk = open_desk(completion("x"), url=gone.url)
    assert desk.ask() is None
    desk.settle()
    assert {(row["outcome"], row["bytes_sent"]) for row in desk.rows()} == {("unreachable", 0)}
    assert desk.ledger.today()["bytes_sent"] == 0


@pytest.mark.parametrize(
    ("limit", "said"),
    [({"requests_per_minute": 2}, "2 requests a minute"), ({"bytes_per_day": 400}, "400 bytes")],
)
def test_a_spent_budget_sends_nothing(
    limit: dict[str, int], said: str, open_desk: Callable[..., Desk]
) -> None:
    desk = open_desk(completion("x"), **limit)
    for n in range(5):
        desk.ask(f"value_{n} = ")
        desk.settle()
    assert len(desk.server.received) == 2
    assert str(desk.remote.status()["said"]).startswith(f"degraded: {said}")


def test_a_minute_later_more_may_be_sent(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("x"), requests_per_minute=1)
    desk.ask("value = ")
    desk.settle()
    desk.remote._sender._times[0] -= 60
    assert desk.ask("other = ") == "x"


def test_a_ledger_that_cannot_be_written_stops_all(
    open_desk: Callable[..., Desk], private_home: Path
) -> None:
    desk = open_desk(completion("x"))
    desk.ledger.path.mkdir(parents=True)
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
    assert b"key-canary" not in desk.ledger.path.read_bytes() + caplog.text.encode()
    assert "key-canary" not in " ".join(sys.argv) + repr(desk.remote.settings)
    assert set(request.headers) == {
        "host", "accept", "accept-encoding", "content-type", "content-length", "user-agent",
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
        assert part.encode() not in desk.ledger.path.read_bytes()
        assert part not in caplog.text


def test_an_answer_that_hides_something_is_not_shown(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(completion("a\u202eb"))
    assert desk.ask() is None
