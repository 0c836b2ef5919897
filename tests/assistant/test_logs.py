"""Log lines: where they go, which ones, and that nobody waits for them."""

import logging
import queue
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import SettingsError
from assistant.logs import QUEUE_LINES, LossyHandler, configure
from tests.programs import ROOT

log = logging.getLogger("assistant.test")


def test_file_gets_one_line_per_message(tmp_path: Path) -> None:
    path = tmp_path / "new" / "foretype.log"
    with configure(str(path)):
        log.info("completion %d", 1)
        log.debug("not wanted")
    (line,) = path.read_text().splitlines()
    assert line.endswith(" INFO assistant.test: completion 1")


def test_standard_error_gets_warnings_only(capfd: pytest.CaptureFixture[str]) -> None:
    with configure():
        log.info("quiet")
        log.warning("loud")
    assert capfd.readouterr().err.endswith(" WARNING assistant.test: loud\n")


@pytest.mark.parametrize(("verbosity", "n_lines"), [(0, 1), (1, 2), (2, 3), (5, 3)])
def test_verbosity_shows_more(
    verbosity: int, n_lines: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with configure(verbosity=verbosity):
        log.debug("a")
        log.info("b")
        log.warning("c")
    assert len(capfd.readouterr().err.splitlines()) == n_lines


def test_closed_session_writes_no_more(tmp_path: Path) -> None:
    session = configure(str(tmp_path / "a.log"), 2)
    session.close()
    session.close()
    log.warning("late")
    assert (tmp_path / "a.log").read_text() == ""


UNREAD = f"""
import logging
from assistant.logs import configure
session = configure(verbosity=2)
for number in range({3 * QUEUE_LINES}):
    logging.getLogger("assistant").warning("line %d %s", number, "x" * 200)
print("went on", flush=True)
"""


def test_unread_standard_error_stops_nobody() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UNREAD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as child:
        try:
            assert child.wait(60) == 0
        finally:
            child.kill()
        assert child.stdout is not None
        assert child.stdout.read() == b"went on\n"


def test_lost_lines_are_counted() -> None:
    handler = LossyHandler(queue.Queue(1))
    for text in ("first", "second", "third"):
        handler.handle(logging.makeLogRecord({"msg": text}))
    assert handler.queue.get_nowait().getMessage() == "first"
    handler.handle(logging.makeLogRecord({"msg": "fourth"}))
    assert handler.queue.get_nowait().getMessage() == "(2 lines lost) fourth"


def test_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a regular file"):
        configure(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot write log_file"):
        configure(str(tmp_path / "file" / "below.log"))
