"""Each fault as a user meets it: what the status says, and that the local answer comes.

The table of docs/remote.md is written from a run with FORETYPE_WRITE_DOCS; without, it is checked.
"""

import datetime
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from assistant.generate.engine import Engine
from assistant.remote.ledger import Ledger
from assistant.remote.policy import Remote
from assistant.remote.settings import RemoteSettings
from assistant.request import CompletionRequest
from assistant.settings import Settings
from model.paths import state_folder
from tests import generated_docs
from tests.remote_faults import FAULTS
from tests.remote_server import Reply, completion, plain, remote_server
from tests.scripted import SAMPLE, scripted_backend
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
AT = SAMPLE.index("handle]")
HEADS = ("fault", "outcome", "attempts for 3 questions", "`foretype.status` says",
         "local answer, ms (remote off)")  # fmt: skip
N_MEASURED = 4  # columns of the table that are the same in each run
BUSY = [plain("429 Slow Down", extra="Retry-After: 30\r\n")]
SHOWN: dict[str, Reply | None] = {
    "refused connection": None,
    "no answer to a connection": FAULTS["silence"][0],
    "reset before an answer": FAULTS["reset before an answer"][0],
    "reset in the answer": FAULTS["reset in the answer"][0],
    "whole body, half an answer": FAULTS["whole body, unfinished answer"][0],
    "silence in the answer": FAULTS["silence in the answer"][0],
    "a byte at a time (slow loris)": FAULTS["a drop at a time"][0],
    "401": FAULTS["401"][0],
    "404": FAULTS["404"][0],
    "429, Retry-After: 30": BUSY,
    "500": FAULTS["500"][0],
    "503": [plain("503 Later")],
    "redirect to another host": FAULTS["redirect elsewhere"][0],
    "malformed JSON": FAULTS["malformed JSON"][0],
    "truncated JSON": FAULTS["truncated JSON"][0],
    "wrong content type": FAULTS["wrong type"][0],
    "invalid UTF-8": FAULTS["invalid UTF-8"][0],
    "compressed answer": FAULTS["compressed"][0],
    "100 MB answer": FAULTS["100 MB answer"][0],
    "not HTTP at all": FAULTS["not HTTP"][0],
    "expired certificate": completion("x"),
    "certificate of another name": completion("x"),
    "the clock jumps by days": completion("x"),
}
ROWS: dict[str, list[str]] = {}


@contextmanager
def _server(name: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run a server with a fault; yield its address, and settings that reach it."""
    reply = SHOWN[name]
    if reply is None:
        with remote_server(completion("x")) as gone:
            pass  # nobody listens there any more
        yield gone.url, {}
        return
    tls = None
    changes: dict[str, Any] = {}
    if "certificate" in name:
        authority = trustme.CA()
        dates = {year: datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2019, 2020)}
        certificate = (
            authority.issue_cert("127.0.0.1", not_before=dates[2019], not_after=dates[2020])
            if name.startswith("expired")
            else authority.issue_cert("other.example")
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(tls)
        authority.cert_pem.write_to_path(folder / "ca.pem")
        changes["ca_file"] = str(folder / "ca.pem")
    with remote_server(reply, tls=tls) as server:
        yield server.url, changes


def _engine(remote: Remote | None) -> Engine:
    backend = scripted_backend()
    engine = Engine(Settings(show="eager"), lambda *_: backend, remote=remote)
    engine.load()
    return engine


def _asked(engine: Engine) -> tuple[bool, float]:
    """Ask at three cursors; say whether each had a local answer, and the shortest time."""
    times, came = [], []
    for n in range(3):
        if engine.remote is not None:
            wait_for(lambda: not engine.remote._sender._inflight)
        request = CompletionRequest(
            path="sample.py", text=SAMPLE[: AT + n], offset=AT + n, deadline_ms=60_000
        )
        began = time.perf_counter()
        answer = engine.complete(request)
        times.append(1_000 * (time.perf_counter() - began))
        came.append(bool(answer) and answer[0].source != "remote")
    if engine.remote is not None:
        wait_for(lambda: not engine.remote._sender._inflight)
    return all(came), min(times)


def _jumping() -> Any:
    """Return a clock that leaps a day back and two ahead by turns."""
    days = iter(range(10_000))
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    return lambda: noon + datetime.timedelta(days=(-1) ** next(days))


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_costs_no_local_answer_and_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    clock = {"clock": _jumping()} if "clock" in name else {}
    ledger = Ledger(state_folder(), **clock)
    limits = {"read_s": 0.2} if "silence" in name or name.startswith("no answer") else {}
    limits |= {"total_s": 0.3} if "byte" in name else {}
    with _server(name, tmp_path) as (url, changes):
        settings = RemoteSettings(
            mode="fallback", provider="openai", url=url, model="m", send_code_to="127.0.0.1",
            min_confidence=1.0, requests_per_minute=600, **(changes | limits),
        )  # fmt: skip
        remote = Remote(settings, tmp_path.joinpath, ledger=ledger)
        try:
            came, on_ms = _asked(_engine(remote))
            status = remote.status()
        finally:
            remote.close()
    _, off_ms = _asked(_engine(None))
    assert came
    ended = [row["outcome"] for row in ledger.rows()]
    assert len(set(ended)) == 1
    said = re.sub(r"in \d s", "in 5 s", str(status["said"]))
    assert (said == "ready") is ("clock" in name)
    row = [name, ended[0], str(len(ended)), said, f"{on_ms:.1f} ({off_ms:.1f})"]
    ROWS[name] = row
    if not generated_docs.WRITES:
        assert " | ".join(row[:N_MEASURED]) in generated_docs.written("remote.md", "faults")


def test_the_table_is_written_on_demand() -> None:
    """The last test of the file: the rows are there by now."""
    if generated_docs.WRITES and len(ROWS) == len(SHOWN):
        table = generated_docs.table_of(HEADS, list(ROWS.values()))
        generated_docs.write("remote.md", "faults", table)
    lines = generated_docs.written("remote.md", "faults").splitlines()
    assert len(lines) == len(SHOWN) + 2
