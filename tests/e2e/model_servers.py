"""Real servers of language models on loopback, run for the tests.

Each needs a program that is not a dependency of ours, named by a variable; see `SERVERS`.
"""

import os
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model.folder import BUNDLED, load_folder
from model.gguf_export import export_gguf

# Read now: tests run without variables of ours.
NAMED = {
    name: os.environ.get(f"FORETYPE_TEST_{name}", "")
    for name in (
        "LLAMA_SERVER",  # llama.cpp's own program, or `PYTHON llama_program.py`
        "LLAMA_PYTHON",  # an interpreter with llama-cpp-python and its `server`
        "SERVE_PYTHON",  # an interpreter with transformers and its `serving`
        "SERVE_PATH",  # where the packages of that are, if elsewhere
        "VLLM",  # vLLM's program
    )
}
HERE = Path(__file__).resolve().parent
START_S = 1_500.0  # a loaded machine imports torch for minutes


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelServer:
    """How one implementation is run."""

    name: str
    needs: tuple[str, ...]
    command: Callable[[int, str], list[str]]  # of a port, and our model's file for llama.cpp

    @property
    def is_there(self) -> bool:
        return all(NAMED[name] for name in self.needs)


def _llama_server(port: int, file: str) -> list[str]:
    return [*shlex.split(NAMED["LLAMA_SERVER"]), "-m", file, "--port", str(port),
            "--host", "127.0.0.1", "-c", "2048", "-np", "4", "-t", "1"]  # fmt: skip


def _llama_python(port: int, file: str) -> list[str]:
    return [NAMED["LLAMA_PYTHON"], str(HERE / "llama_server.py"), "--model", file,
            "--port", str(port), "--host", "127.0.0.1", "--n_ctx", "512", "--n_threads", "1",
            "--logits_all", "true"]  # fmt: skip


def _transformers(port: int, _: str) -> list[str]:
    return [NAMED["SERVE_PYTHON"], str(HERE / "serve_transformers.py"), str(BUNDLED), str(port)]


def _vllm(port: int, _: str) -> list[str]:
    return [NAMED["VLLM"], "serve", str(BUNDLED), "--port", str(port), "--host", "127.0.0.1",
            "--enforce-eager", "--max-model-len", "512", "--dtype", "float32"]  # fmt: skip


SERVERS = {
    server.name: server
    for server in (
        ModelServer(
            name="llama.cpp", needs=("LLAMA_SERVER",), command=_llama_server
        ),
        ModelServer(
            name="llama-cpp-python", needs=("LLAMA_PYTHON",), command=_llama_python
        ),
        ModelServer(name="transformers serve", needs=("SERVE_PYTHON",), command=_transformers),
        ModelServer(name="vLLM", needs=("VLLM",), command=_vllm),
    )
}  # fmt: skip


@contextmanager
def running(server: ModelServer, log: Path) -> Iterator[str]:
    """Run a server until it answers, then until the block ends; yield its address."""
    port = _free_port()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    if server.name == "transformers serve" and NAMED["SERVE_PATH"]:
        environment |= {"PYTHONPATH": NAMED["SERVE_PATH"]}
    file = log.with_name("out.gguf")
    export_gguf(load_folder(BUNDLED), file)
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command(port, str(file)), stdout=output, stderr=output, env=environment
        )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_S
        while not _answers(url):
            assert process.poll() is None, log.read_text()[-2_000:]
            assert time.monotonic() < end, log.read_text()[-2_000:]
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/v1/models", timeout=5)
    except urllib.error.HTTPError as error:
        return error.code != 503  # that one is still loading
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def n_established(url: str) -> int:
    """Return how many connections to a server on this machine are open, by the kernel's table."""
    port = int(url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in fields)
