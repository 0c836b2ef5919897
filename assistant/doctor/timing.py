"""A completion as an editor asks for it, timed: the first one, then while a person types.

The times are this machine's at this moment; nothing is claimed about others.
"""

import dataclasses
import statistics
import time
from typing import NamedTuple

from assistant.doctor import CheckResult, broken, ok, warning
from assistant.errors import AssistantError
from assistant.generate.engine import Engine
from assistant.request import CompletionRequest
from assistant.settings import Settings

SLOW_MS = 150.0
DEADLINE_MS = 10_000
BEFORE = '''\
"""Reads measurements from a file and prints their mean."""

import sys
from pathlib import Path


def read_numbers(path: Path) -> list[float]:
    with path.open(encoding="utf-8") as file:
        return [float(line) for line in file if line.strip()]


def main() -> int:
    numbers = read_numbers(Path(sys.argv[1]))
    '''
TYPED = "print(sum(numbers) / len(nu"
AFTER = '\n    return 0\n\n\nif __name__ == "__main__":\n    sys.exit(main())\n'


def completion(settings: Settings) -> CheckResult:
    """Load the model and type a line."""
    engine = Engine(dataclasses.replace(settings, show="eager", enabled=True))
    started = time.monotonic()
    try:
        engine.load()
    except AssistantError as error:
        return broken("completion", str(error), "mend the model first")
    loaded_ms = 1_000 * (time.monotonic() - started)
    first, *rest = type_line(engine, len(TYPED) // 2)
    typed_ms = statistics.median(answer.ms for answer in rest)
    network_ms = [answer.ms for answer in rest if answer.is_computed] or [first.ms]
    found = (
        f"loaded in {loaded_ms:.0f} ms, first answer {first.ms:.0f} ms, then {typed_ms:.1f} ms a"
        f" keystroke ({statistics.median(network_ms):.1f} ms where the network answers)"
    )
    texts = [answer.text for answer in (first, *rest) if answer.text]
    if not texts:
        return warning("completion", f"{found}, but nothing was suggested", "try another model")
    if statistics.median(network_ms) > SLOW_MS:
        fix = "is the machine busy? else lower `max_new_tokens`, or set `threads` to 2"
        return warning("completion", f"{found}: slow", fix)
    return ok("completion", found)


class TypedKey(NamedTuple):
    """What one key of a line brought, and how long it took."""

    text: str
    ms: float
    is_computed: bool  # not known from an earlier keystroke


def type_line(engine: Engine, n_there: int = 0) -> list[TypedKey]:
    """Type a line of a small file, of which so much is there already; return each key's answer."""
    keys = []
    for end in range(n_there, len(TYPED) + 1):
        before = BEFORE + TYPED[:end]
        request = CompletionRequest(
            path="mean.py", text=before + AFTER, offset=len(before), deadline_ms=DEADLINE_MS
        )
        started = time.monotonic()
        answers = engine.complete(request)
        ms = 1_000 * (time.monotonic() - started)
        text, source = (answers[0].text, answers[0].source) if answers else ("", "cache")
        keys.append(TypedKey(text, ms, source != "cache"))
    return keys
