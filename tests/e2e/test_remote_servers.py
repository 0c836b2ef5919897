"""The remote side against real servers on loopback, with our own model in them.

Outside the default run: each needs an interpreter that has the server, named by a variable.
FORETYPE_TEST_LLAMA_PYTHON (llama-cpp-python with `server`) and FORETYPE_TEST_GGUF (our model);
FORETYPE_TEST_SERVE_PYTHON (transformers with `serving`), which reads the bundled model folder.
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assistant.cancel import Cancel
from assistant.completion import CompletionRequest
from assistant.remote.ledger import Ledger, state_dir
from assistant.remote.policy import Remote
from assistant.remote.settings import RemoteSettings
from model.folder import BUNDLED

# Read now: tests run without variables of ours.
LLAMA_PYTHON = os.environ.get("FORETYPE_TEST_LLAMA_PYTHON", "")
GGUF = os.environ.get("FORETYPE_TEST_GGUF", "")
SERVE_PYTHON = os.environ.get("FORETYPE_TEST_SERVE_PYTHON", "")
SERVE_PATH = os.environ.get("FORETYPE_TEST_SERVE_PATH", "")  # where its packages are, if elsewhere
HERE = Path(__file__).resolve().parent
START_S = 600.0  # a loaded machine imports torch for minutes
TEXTS = [
    "class A:\n    def __init__(self, name, value):\n        self.name = name\n        self.",
    "import os\nimport sys\n\n\ndef read(path):\n    with open(path) as ",
    "for i in ",
    "def total(values):\n    result = 0\n    for value in ",
]

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(900)]
needs_llama = pytest.mark.skipif(
    not (LLAMA_PYTHON and GGUF), reason="FORETYPE_TEST_LLAMA_PYTHON and FORETYPE_TEST_GGUF"
)
needs_serve = pytest.mark.skipif(not SERVE_PYTHON, reason="FORETYPE_TEST_SERVE_PYTHON")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int, log: Path, path: str = "") -> Iterator[str]:
    """Run a server until it answers, then until the block ends."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    if path:
        environment |= {"PYTHONPATH": path}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_S
        while True:
            assert process.poll() is None, log.read_text()[-2_000:]
            assert time.monotonic() < end, log.read_text()[-2_000:]
            try:
                urllib.request.urlopen(f"{url}/v1/models", timeout=5)
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [LLAMA_PYTHON, str(HERE / "llama_server.py"), "--model", GGUF, "--port", str(port),
               "--host", "127.0.0.1", "--n_ctx", "512", "--n_threads", "1"]  # fmt: skip
    with running(command, port, tmp_path_factory.mktemp("llama") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [SERVE_PYTHON, str(HERE / "serve_transformers.py"), str(BUNDLED), str(port)]
    with running(command, port, tmp_path_factory.mktemp("serve") / "log", SERVE_PATH) as url:
        yield url


def answers(folder: Path, url: str, **changes: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Ask for all texts; return what came, and the ledger's rows on how it ended."""
    table: dict[str, Any] = {
        "mode": "only", "url": url, "model": str(BUNDLED), "send_code_to": "127.0.0.1",
        "wait_ms": 60_000, "read_s": 60.0, "total_s": 60.0, "max_new_tokens": 12,
        "prefix_chars": 400, "suffix_chars": 100,
    }  # fmt: skip
    (folder / "a.py").write_text("")
    remote = Remote(RemoteSettings(**(table | changes)), folder.joinpath)
    found = []
    try:
        for text in TEXTS:
            request = CompletionRequest(path="a.py", text=text + "\n", offset=len(text))
            ticket = remote.before(request, blocks=False)
            assert ticket is not None
            assert ticket.flight is not None
            ticket.flight.wait(time.monotonic() + 60)
            found.append(ticket.flight.text)
            remote.after(ticket, confidence=None, deadline=time.monotonic() + 1, cancel=Cancel())
    finally:
        remote.close()
    return found, [row for row in Ledger(state_dir()).rows() if row["event"] == "ended"]


@needs_llama
@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "openai"},
        {"provider": "openai", "template": "foretype"},
        {"provider": "vllm", "template": "foretype"},
        {"provider": "openai-chat"},
    ],
    ids=["suffix", "template", "as vllm", "chat"],
)
def test_llama_cpp_answers(changes: dict[str, Any], llama: str, tmp_path: Path) -> None:
    found, rows = answers(tmp_path, llama, **changes)
    assert [row["outcome"] for row in rows] == ["ok"] * len(TEXTS)
    assert any(text.strip() for text in found)
    assert all(row["bytes_received"] > 0 for row in rows)


@needs_llama
def test_llama_cpp_stops_when_it_is_told(llama: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    remote = Remote(
        RemoteSettings(
            mode="only",
            provider="openai",
            url=llama,
            model="m",
            send_code_to="127.0.0.1",
            max_new_tokens=400,
            read_s=60.0,
            total_s=60.0,
        ),
        tmp_path.joinpath,
    )
    try:
        for n in range(20):
            text = f"values_{n} = ["
            request = CompletionRequest(path="a.py", text=text, offset=len(text))
            ticket = remote.before(request, blocks=False)
            assert ticket is not None
            assert ticket.flight is not None
            time.sleep(0.01 * n)
            ticket.flight.stop()
            ticket.flight.wait(time.monotonic() + 10)
        request = CompletionRequest(path="a.py", text=TEXTS[0], offset=len(TEXTS[0]))
        ticket = remote.before(request, blocks=False)
        assert ticket is not None
        assert ticket.flight is not None
        assert ticket.flight.wait(time.monotonic() + 60)
    finally:
        remote.close()


@needs_serve
@pytest.mark.parametrize("changes", [{"provider": "vllm", "template": "foretype"}])
def test_transformers_answers(changes: dict[str, Any], serve: str, tmp_path: Path) -> None:
    found, rows = answers(tmp_path, serve, **changes)
    assert [row["outcome"] for row in rows] == ["ok"] * len(TEXTS)
    assert any(text.strip() for text in found)
    assert all(row["new_tokens"] or row["bytes_received"] for row in rows)
