"""2026-11-29: at `eager`, who accepted line after line got the same lines for ever.

Cause: a line was only known to repeat itself if it stood twice just above. Cycles of two lines,
lines that count on and imports that stand there already passed.
"""

import pytest

from assistant.generate.engine import Engine
from assistant.request import CompletionRequest
from assistant.settings import Settings

N_ACCEPTED = 16
ENOUGH = 8


def accept(text: str, path: str) -> int:
    """Accept what the document itself proposes, line after line; return how often there was any."""
    engine = Engine(Settings(show="eager"))
    for n_accepted in range(N_ACCEPTED):
        request = CompletionRequest(path=path, text=text, offset=len(text), deadline_ms=60_000, n=2)
        found = engine.complete(request)
        if not found:
            return n_accepted
        text += found[0].text + "\n"
    return N_ACCEPTED


@pytest.mark.parametrize(
    ("unit", "path", "least"),
    [
        ("import sys\nimport re\n", "a.py", 0),
        ("B = 3\n", "a.py", 1),
        ("open_all()\nclose_all()\n", "a.py", 1),
        ("one(1)\ntwo(2)\nsix(6)\n", "a.ts", 0),
    ],
)
def test_accepting_comes_to_an_end(unit: str, path: str, least: int) -> None:
    assert least <= accept("x = 0\n" + unit + "y = 1\n" + unit, path) < ENOUGH
