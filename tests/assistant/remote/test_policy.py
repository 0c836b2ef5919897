"""When a server is asked, and what its answer is worth."""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from assistant.remote.sender import Breaker
from assistant.request import Cancel
from tests.remote_desk import TEXT, Desk
from tests.remote_server import completion, plain


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
    desk.ask(confidence=0.1)
    desk.settle()
    assert desk.ask(confidence=0.9) is None


def test_waiting_follows_the_requests_deadline(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"])
    request = desk.request()
    inflight = desk.remote.before(request, blocks=True)
    began = time.monotonic()
    answer = desk.remote.after(
        request, inflight, confidence=None, deadline=began + 0.2, cancel=Cancel()
    )
    assert answer is None
    assert 0.1 < time.monotonic() - began < 0.2 + 2


def test_a_deadline_that_is_over_is_not_waited_for(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"])
    request = desk.request()
    inflight = desk.remote.before(request, blocks=True)
    began = time.monotonic()
    answer = desk.remote.after(request, inflight, confidence=None, deadline=began, cancel=Cancel())
    assert answer is None
    assert time.monotonic() - began < 1


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
    handle = desk.remote.before(desk.request(), blocks=True)
    desk.settle()
    answer = desk.after(handle, confidence=0.1)
    assert answer is not None
    assert answer.text == "a + b"


def test_a_race_that_local_wins_hangs_up(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(["hang"], mode="race")
    handle = desk.remote.before(desk.request(), blocks=True)
    desk.server.wait_received()
    assert desk.after(handle, confidence=0.9) is None
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
    assert desk.rows() == []


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


def test_a_probe_after_the_pause_heals(open_desk: Callable[..., Desk]) -> None:
    now = [0.0]
    desk = open_desk(*[[plain("500 Oops")]] * 3, completion("x"))
    desk.remote._sender.breaker = Breaker(lambda: now[0])
    for n in range(4):
        assert desk.ask(f"value_{n} = ") is None
        desk.settle()
    now[0] = 6.0
    assert desk.ask(path="gone.py") is None  # never sent, and no fault of the server's
    desk.settle()
    assert "500" in str(desk.remote.status()["said"])
    assert str(desk.remote.status()["said"]).endswith("; next try with the next suggestion")
    assert desk.ask("other = ") == "x"
    desk.settle()
    assert desk.remote.status()["state"] == "ready"
