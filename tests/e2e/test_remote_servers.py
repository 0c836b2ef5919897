"""The remote side against real servers on loopback, with our own model in them.

Outside the default run: each server needs a program named by a variable (see `model_servers`).
With FORETYPE_WRITE_DOCS the matrix of docs/remote.md is written from what was seen.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assistant.remote.inflight import InflightRequest
from assistant.remote.ledger import Ledger
from assistant.remote.policy import Remote
from assistant.remote.settings import RemoteSettings
from assistant.request import Cancel, CompletionRequest
from model.folder import BUNDLED
from model.paths import state_folder
from tests import generated_docs
from tests.e2e.model_servers import SERVERS, n_established, running

TEXTS = [
    "class A:\n    def __init__(self, name, value):\n        self.name = name\n        self.",
    "import os\nimport sys\n\n\ndef read(path):\n    with open(path) as ",
    "for i in ",
    "def total(values):\n    result = 0\n    for value in ",
]
FORMS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama.cpp", "/infill", {"provider": "llamacpp"}),
    ("llama.cpp", "/v1/completions, template",
     {"provider": "openai", "template": "foretype", "logprobs": "always"}),
    ("llama.cpp", "/v1/chat/completions", {"provider": "openai-chat", "logprobs": "always"}),
    ("llama-cpp-python", "/v1/completions, suffix",
     {"provider": "openai", "logprobs": "always"}),
    ("llama-cpp-python", "/v1/completions, template",
     {"provider": "openai", "template": "foretype", "logprobs": "always"}),
    ("llama-cpp-python", "/v1/chat/completions", {"provider": "openai-chat"}),
    ("transformers serve", "/v1/completions, template",
     {"provider": "openai", "template": "foretype"}),
    ("vLLM", "/v1/completions, template", {"provider": "vllm", "template": "foretype"}),
]  # fmt: skip
HEADS = ("server", "form", "answers", "streams", "one line", "token limit", "usage", "how sure",
         "hangs up when cancelled", "first text, whole")  # fmt: skip
DOCUMENTED = [
    ("Ollama", "`/api/generate`, suffix or raw template"),
    ("Mistral", "`/v1/fim/completions`"),
    ("DeepSeek", "`/beta/completions`, suffix"),
    ("OpenAI", "`/v1/completions`, `/v1/chat/completions`"),
]

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(1_800)]
ROWS: dict[tuple[str, str], list[str]] = {}


@pytest.fixture(scope="module", autouse=True)
def matrix() -> Iterator[None]:
    """Write what was seen; servers that did not run this time keep their rows."""
    yield
    if not (generated_docs.WRITES and ROWS):
        return
    before = generated_docs.written("remote.md", "matrix").splitlines()
    rows = []
    for server, form, _ in FORMS:
        path, comma, how = form.partition(",")
        named = [server, f"`{path}`{comma}{how}"]
        old = next((line for line in before if line.startswith(f"| {' | '.join(named)} |")), "")
        seen = ROWS.get((server, form)) or [cell.strip() for cell in old.split("|")[3:-1]]
        rows.append([*named, *(seen or ["not run", *[""] * (len(HEADS) - 3)])])
    rows += [[name, form, "by its documentation only", *[""] * (len(HEADS) - 3)]
             for name, form in DOCUMENTED]  # fmt: skip
    generated_docs.write("remote.md", "matrix", generated_docs.table_of(HEADS, rows))


@pytest.fixture(scope="module", params=SERVERS)
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    server = SERVERS[request.param]
    if not server.is_there:
        pytest.skip(" and ".join(f"FORETYPE_TEST_{name}" for name in server.needs))
    with running(server, tmp_path_factory.mktemp("server") / "log") as url:
        yield server.name, url


@dataclass
class Asker:
    """A remote side for one server and form."""

    folder: Path
    url: str
    changes: dict[str, Any]
    remotes: list[Remote] = field(default_factory=list)

    def remote(self, **more: Any) -> Remote:
        table: dict[str, Any] = {
            "mode": "only", "url": self.url, "model": str(BUNDLED), "send_code_to": "127.0.0.1",
            "read_s": 60.0, "total_s": 60.0, "max_new_tokens": 12,
            "prefix_chars": 400, "suffix_chars": 100, "requests_per_minute": 600,
        }  # fmt: skip
        (self.folder / "a.py").write_text("")
        self.remotes.append(Remote(RemoteSettings(**(table | self.changes | more)),
                                   self.folder.joinpath))  # fmt: skip
        return self.remotes[-1]

    def start(self, remote: Remote, text: str, *, blocks: bool = False) -> InflightRequest:
        request = CompletionRequest(path="a.py", text=text + "\n", offset=len(text))
        handle = remote.before(request, blocks=blocks)
        assert handle is not None
        return handle

    def whole(self, remote: Remote, text: str, *, blocks: bool = False) -> InflightRequest:
        flight = self.start(remote, text, blocks=blocks)
        flight.wait(time.monotonic() + 60, Cancel())
        _until(lambda: flight.is_over)
        return flight


@pytest.fixture
def asker(tmp_path: Path, address: tuple[str, str]) -> Iterator[Asker]:
    asker = Asker(tmp_path, address[1], {})
    yield asker
    for remote in asker.remotes:
        remote.close()


def _until(holds: Any, seconds: float = 60.0) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.001)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("server", "form", "changes"), FORMS, ids=[f"{server} {form}" for server, form, _ in FORMS]
)
def test_a_real_server(
    server: str, form: str, changes: dict[str, Any], address: tuple[str, str], asker: Asker
) -> None:
    if server != address[0]:
        pytest.skip("another server runs now")
    asker.changes = changes
    row = [_answers(asker), *_streams(asker), _token_limit(asker)]
    usage, sure = _told(asker)
    times = _times(asker)
    ROWS[server, form] = [*row, usage, sure, _hangs_up(asker), times]


def _answers(asker: Asker) -> str:
    """Every question has a whole answer, and the ledger says what was sent."""
    remote = asker.remote()
    flights = [asker.whole(remote, text) for text in TEXTS]
    assert [flight.error for flight in flights] == [None] * len(TEXTS)
    assert any(flight.text.strip() for flight in flights)
    rows = Ledger(state_folder()).rows()
    assert [row["outcome"] for row in rows] == ["ok"] * len(TEXTS)
    assert all(row["bytes_received"] > 0 and row["bytes_sent"] > 0 for row in rows)
    return f"{len(TEXTS)} of {len(TEXTS)}"


def _streams(asker: Asker) -> tuple[str, str]:
    """Text is there before it is whole; and it ends with the line, where a line is asked for."""
    remote = asker.remote(max_new_tokens=40)
    flight = asker.start(remote, "values = [1, 2, 3, 4, 5, 6, 7, ")
    _until(lambda: flight.text or flight.is_over)
    is_growing = not flight.is_whole
    _until(lambda: flight.is_over)
    line = asker.whole(remote, TEXTS[3])
    kept = line.text.lstrip("\n")
    return "yes" if is_growing else "in one piece", "yes" if "\n" not in kept else "cut by us"


def _token_limit(asker: Asker) -> str:
    flight = asker.whole(asker.remote(max_new_tokens=3), "values = [1, 2, 3, 4, 5, 6, 7, ")
    assert flight.error is None
    n_tokens = flight.new_tokens
    assert n_tokens is None or n_tokens <= 3
    assert len(flight.text) < 60
    return f"yes, says {flight.finish_reason}"


def _told(asker: Asker) -> tuple[str, str]:
    """What the server tells of tokens read and written, and of how sure it is."""
    flight = asker.whole(asker.remote(), TEXTS[0])
    counts = (flight.prompt_tokens, flight.new_tokens)
    usage = "yes" if None not in counts else "no"
    marks = flight.answer.marks if flight.answer else ()
    if marks:
        assert all(so_far <= 0 for _, so_far in marks)
        assert marks[-1][0] >= len(flight.text.rstrip())
    asked = asker.remote().settings.asks_logprobs
    return usage, "yes" if marks else "no" if asked else "not asked"


def _hangs_up(asker: Asker) -> str:
    """The connection of a cancelled question closes, and the next question is answered."""
    remote = asker.remote(max_new_tokens=400)
    _until(lambda: n_established(asker.url) <= 8)
    took = []
    for n in range(5):
        flight = asker.start(remote, f"values_{n} = [1, 2, 3, ")
        _until(lambda f=flight: f.has_sent or f.is_over)
        time.sleep(0.05 * n)
        before = n_established(asker.url)
        if flight.is_over:
            continue
        flight.halt()
        took.append(_until(lambda b=before: n_established(asker.url) < b))
    assert asker.whole(asker.remote(), TEXTS[0]).error is None
    return f"yes, {1_000 * max(took):.0f} ms" if took else "too quick to cancel"


def _times(asker: Asker) -> str:
    remote = asker.remote()
    first, whole = [], []
    for text in TEXTS:
        flight = asker.start(remote, "x = 1\n" + text)
        first.append(_until(lambda f=flight: f.text or f.is_over))
        whole.append(first[-1] + _until(lambda f=flight: f.is_over))
    median = len(TEXTS) // 2
    return f"{1_000 * sorted(first)[median]:.0f}, {1_000 * sorted(whole)[median]:.0f} ms"
