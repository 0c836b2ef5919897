"""Questions under way: asked, stopped, tried again; nothing is left behind."""

import random
import socket
import threading
import time

import pytest

from assistant.remote.inflight import InflightRequest
from assistant.remote.sender import MAX_INFLIGHT
from assistant.request import Cancel
from tests.remote_lines import REQUEST, Line, ask, connected, kind
from tests.remote_server import Reply, Step, chunk, completion, event, head, remote_server
from tests.waiting import wait_for


def test_a_streamed_answer_arrives_with_its_usage(lines: list[Line]) -> None:
    flight, server, outcomes = ask(lines, completion("a", " + b"))
    assert (flight.text, flight.finish_reason) == ("a + b", "stop")
    assert (flight.prompt_tokens, flight.new_tokens) == (10, 3)
    assert outcomes == ["ok"]
    assert server.received[0].body == flight.payload.body


def test_connections_are_kept(lines: list[Line]) -> None:
    with connected(lines, completion("x")) as (line, server):
        assert [line.ask().text for _ in range(5)] == ["x"] * 5
        assert server.n_connections == 1


def test_text_is_there_while_it_grows(lines: list[Line]) -> None:
    begun = [head(), chunk(event({"choices": [{"text": "first"}]})), "hang"]
    with connected(lines, begun) as (line, _):
        flight = line.start()
        wait_for(lambda: bool(flight.text))
        assert (flight.text, flight.is_whole) == ("first", False)


def test_a_refused_connection_has_a_name(lines: list[Line]) -> None:
    with remote_server(completion("x")) as server:
        pass  # nobody listens there any more
    line = Line(server.url)
    lines.append(line)
    assert kind(line.ask()) == "unreachable"
    assert line.outcomes == ["unreachable"]


def test_an_idle_connection_closed_by_the_server_is_no_fault(lines: list[Line]) -> None:
    with connected(lines, [*completion("x"), "close"], completion("y")) as (line, server):
        assert line.ask().text == "x"
        wait_for(lambda: server.n_open == 0)
        assert line.ask().text == "y"
        assert line.outcomes == ["ok", "ok"]


def test_what_is_forbidden_is_not_sent(lines: list[Line]) -> None:
    with connected(lines, completion("x"), deny=("*.py",)) as (line, server):
        assert kind(line.ask()) == "withheld"
        assert line.outcomes == []
        assert server.received == []


def test_stopping_closes_the_connection_before_the_server_answers(lines: list[Line]) -> None:
    with connected(lines, ["hang"]) as (line, server):
        flight = line.start()
        server.wait_received()
        began = time.monotonic()
        flight.halt()
        assert server.wait_closed().closed_s - began < 0.5
        line.finish(flight)
        assert kind(flight) == "stopped"


def test_stopping_closes_the_connection_in_the_answer(lines: list[Line]) -> None:
    with connected(lines, [head(), chunk(event({"choices": [{"text": "x"}]})), "hang"]) as (
        line,
        server,
    ):
        flight = line.start()
        wait_for(lambda: bool(flight.text))
        flight.halt()
        assert server.wait_closed().sent > 0


def test_what_is_stopped_at_once_is_not_sent(lines: list[Line]) -> None:
    with connected(lines, ["hang"]) as (line, server):
        flight = line.start()
        flight.halt()
        line.finish(flight)
        assert kind(flight) == "stopped"
        for n in range(len(server.received)):  # one that was quicker was hung up on
            server.wait_closed(n)


def test_the_end_of_the_line_is_enough(lines: list[Line]) -> None:
    endless: list[Step] = [head(), chunk(event({"choices": [{"text": "a\nb"}]})), "hang"]
    with connected(lines, endless) as (line, server):
        flight = line.ask()
        assert (flight.text, flight.finish_reason) == ("a\nb", "stop")
        server.wait_closed()


def test_a_body_that_does_not_end_costs_no_answer(lines: list[Line]) -> None:
    flight, _, outcomes = ask(lines, [*completion("x")[:-1], "hang"], read_s=0.3)
    assert (flight.text, outcomes) == ("x", ["ok"])


def test_waiting_ends_with_the_request(lines: list[Line]) -> None:
    with connected(lines, ["hang"]) as (line, _):
        flight, cancel = line.start(), Cancel()
        threading.Timer(0.05, cancel.set).start()
        began = time.monotonic()
        flight.wait(began + 5, cancel)
        assert not flight.is_whole
        assert time.monotonic() - began < 2
        flight.halt()


def test_no_more_than_a_few_are_under_way(lines: list[Line]) -> None:
    with connected(lines, ["hang"]) as (line, server):
        flights = [line.start() for _ in range(MAX_INFLIGHT)]
        refused = InflightRequest(REQUEST, line.settings, single_line=True)
        assert not line.sender.start(refused)
        server.wait_received(MAX_INFLIGHT)
        for flight in flights:
            flight.halt()


def test_a_closed_transport_starts_nothing() -> None:
    line = Line("http://127.0.0.1:1")
    line.sender.close()
    assert not line.sender.start(InflightRequest(REQUEST, line.settings, single_line=True))


def test_closing_stops_what_is_under_way() -> None:
    with remote_server(["hang"]) as server:
        line = Line(server.url)
        flight = line.start()
        server.wait_received()
        line.sender.close()
        assert kind(flight) == "stopped"
        server.wait_closed()


def test_a_dead_resolver_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads outlive the request; the program's end must not wait for them."""
    answers = threading.Event()

    def lost(*_: object, **__: object) -> None:
        answers.wait(30)
        raise socket.gaierror(-3, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", lost)
    line = Line("https://models.example", connect_s=0.1, total_s=0.3)
    flight = line.start()
    flight.wait(time.monotonic() + 20, Cancel())
    assert not flight.is_whole
    assert flight.halted is not None
    assert flight.halted.kind == "too slow"
    line.sender.close(0.1)
    (waiting,) = (thread for thread in threading.enumerate() if thread.name == "remote")
    assert waiting.daemon
    answers.set()
    waiting.join(10)
    assert kind(flight) == "too slow"


@pytest.mark.slow
def test_ten_thousand_stops_leave_the_pool_whole(lines: list[Line]) -> None:
    """Cancelling tasks instead has cost httpx's pool all its slots after a thousand or so."""
    dice = random.Random(7)

    def reply(_: object) -> Reply:
        return [dice.choice([0.0, 0.0, 0.002]), *completion("x")]

    with connected(lines, reply) as (line, server):
        line.ask()
        for n in range(10_000):
            while len(line.sender._inflight) >= MAX_INFLIGHT:
                time.sleep(0.0005)
            flight = line.start()
            if n % 8 == 0:
                time.sleep(dice.uniform(0, 0.004))
            flight.halt()
        wait_for(lambda: not line.sender._inflight)
        assert [line.ask().text for _ in range(20)] == ["x"] * 20
        assert server.n_open <= MAX_INFLIGHT
