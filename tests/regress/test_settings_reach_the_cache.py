"""2026-11-29: `show: off` pushed while running still showed what the cache held for the cursor.

Cause: kept suggestions knew nothing of the settings that had decided about them.
"""

from dataclasses import replace

import pytest

from assistant.generate.engine import Engine
from assistant.request import CompletionRequest
from assistant.settings import Settings
from tests.scripted import SAMPLE, scripted_backend

OFFSET = SAMPLE.index("self.na") + len("self.na")
REQUEST = CompletionRequest(
    path="pkg/sample.py", text=SAMPLE[:OFFSET] + "\n", offset=OFFSET, deadline_ms=60_000
)


@pytest.fixture
def engine() -> Engine:
    engine = Engine(Settings(show="eager"), lambda *_: scripted_backend())
    engine.load()
    return engine


def test_off_shows_nothing_where_something_was_shown(engine: Engine) -> None:
    assert engine.complete(REQUEST)
    assert engine.respond(REQUEST).trace.source == "cache"
    engine.settings = replace(engine.settings, show="off")
    assert engine.complete(REQUEST) == []


def test_what_was_off_is_shown_once_it_is_on(engine: Engine) -> None:
    engine.settings = replace(engine.settings, show="off")
    assert engine.complete(REQUEST) == []
    engine.settings = replace(engine.settings, show="eager")
    assert engine.complete(REQUEST)


def test_same_settings_pushed_again_forget_nothing(engine: Engine) -> None:
    engine.complete(REQUEST)
    engine.settings = replace(engine.settings)
    assert engine.respond(REQUEST).trace.source == "cache"
