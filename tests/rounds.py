"""Which round of the nightly tests this is: each has other seeds, round 0 is that of each commit.

Read once, when tests are imported; `python -m tests.nightly` sets the variables.
"""

import os
from pathlib import Path

ROUND = int(os.environ.get("FORETYPE_TEST_ROUND", "0"))
SOAK_MINUTES, SOAK_SPEED = map(float, os.environ.get("FORETYPE_TEST_SOAK", "0.1 8").split())
_COUNTS = os.environ.get("FORETYPE_TEST_COUNTS", "")


def shifted(seed: int) -> int:
    """Return this round's seed for what has `seed` at each commit."""
    return seed + 1_000_003 * ROUND


def count(n: float, note: str = "") -> None:
    """Say that so much was tried: messages, kills, states; a note goes below the table."""
    if _COUNTS:
        with Path(_COUNTS).open("a") as file:
            file.write(f"{n} {note}\n")
