"""The circuit breaker, by a clock of the test's own."""

import pytest

from assistant.errors import RemoteError
from assistant.remote.sender import FIRST_PAUSE_S, MAX_PAUSE_S, THRESHOLD, Breaker

FAULT = RemoteError("broken off", "the connection broke off")
STOPPED = RemoteError("stopped", "nobody wants the answer any more")


class Clock:
    def __init__(self) -> None:
        self.at = 50.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(THRESHOLD):
        assert breaker.enter()
        breaker.report(FAULT)
    return breaker


def test_a_few_failures_in_a_row_open_it(clock: Clock) -> None:
    breaker = opened(clock)
    assert not breaker.is_closed
    assert not breaker.enter()
    assert not breaker.may_pass()


def test_a_success_between_failures_keeps_it_closed(clock: Clock) -> None:
    breaker = Breaker(clock)
    for _ in range(5 * THRESHOLD):
        breaker.report(FAULT)
        breaker.report(None)
    assert breaker.is_closed


def test_one_probe_is_let_through_and_closes_it(clock: Clock) -> None:
    breaker = opened(clock)
    clock.at += FIRST_PAUSE_S
    assert breaker.may_pass()
    assert breaker.enter()
    assert not breaker.enter()
    assert not breaker.may_pass()
    breaker.report(None)
    assert breaker.is_closed


def test_a_failed_probe_doubles_the_pause(clock: Clock) -> None:
    breaker = opened(clock)
    pause = FIRST_PAUSE_S
    for _ in range(12):
        clock.at += pause
        assert breaker.enter()
        breaker.report(FAULT)
        pause = min(MAX_PAUSE_S, 2 * pause)
        clock.at += pause - 0.01
        assert not breaker.may_pass()
        clock.at += 0.01 - pause
    assert pause == MAX_PAUSE_S


def test_a_probe_that_was_given_up_may_be_tried_again(clock: Clock) -> None:
    breaker = opened(clock)
    clock.at += FIRST_PAUSE_S
    assert breaker.enter()
    breaker.report(STOPPED)
    assert breaker.enter()


def test_a_server_that_asks_for_a_pause_gets_it_at_once(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.report(RemoteError("busy", "later", retry_after_s=42.0))
    clock.at += 41.9
    assert not breaker.may_pass()
    clock.at += 0.2
    assert breaker.may_pass()


def test_a_pause_of_nothing_is_over_at_once(clock: Clock) -> None:
    breaker = Breaker(clock)
    breaker.report(RemoteError("busy", "later", retry_after_s=0.0))
    clock.at += 0.01
    assert breaker.enter()
