"""Waiting for what comes sooner or later."""

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 120.0

T = TypeVar("T")


def wait_for(
    look: Callable[[], T | None],
    what: str = "sign of it",
    seconds: float = WAIT_S,
    *,
    pause_s: float = 0.01,
) -> T:
    """Look until there is something to see."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if seen := look():
            return seen
        time.sleep(pause_s)
    raise AssertionError(f"no {what} within {seconds} s")
