"""What a session starts ends with it."""

import os
import threading
from pathlib import Path

import pytest

from assistant.counts import STEP, Statistics, reset
from assistant.generate.engine import Engine
from assistant.request import CompletionRequest
from assistant.settings import Settings
from lsp.scheduler import ScheduledRequest
from lsp.session import Session
from tests.doubles import tiny_folder

WAIT_S = 60.0


def test_the_gate_follows_the_counts_and_their_reset() -> None:
    session, statistics = Session(lambda _: None), Statistics()
    engine = session._engine = session._real_engine(Settings())
    assert isinstance(engine, Engine)
    session.save_counts = statistics.save
    for name, n in (("ended", 500), ("claimed", 500 * 70)):
        statistics.add("python", name, n)
    session.keep_counts()
    assert engine.steps == {"python": STEP}
    reset()
    session.keep_counts()
    assert engine.steps == {}


@pytest.mark.usefixtures("shared_cache")
def test_no_thread_outlives_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp.session.POLL_S", WAIT_S)
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a.py").write_text("x = 1\n" * 50)
    before = set(threading.enumerate())
    session = Session(lambda _: None)
    session.settings.initialize({"model": str(tiny_folder(tmp_path)), "deadline_ms": 60_000})
    session.start(os.getppid())
    roots = [(tmp_path / "w").as_uri()]
    session.indexes.start(roots, session.settings.current, shows_progress=False, watches=False)
    request = CompletionRequest(path="a.py", text="x", offset=1, deadline_ms=60_000)
    job = ScheduledRequest(key=1, uri="file:///a.py", request=request)
    session.scheduler.submit(job)
    job.future.result(WAIT_S)
    session.models.start(threads=1)
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert {"client-watch", "completion", "models"} <= names
    session.stop(WAIT_S)
    assert set(threading.enumerate()) <= before
