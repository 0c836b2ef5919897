"""`foretype serve` in this process, over a scripted network that can be held up."""

import socket
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from openai import OpenAI
from uvicorn import Server

from assistant.cli.serve import make_web_server
from assistant.generate.backend import LocalBackend
from assistant.serve.app import CompletionServer
from assistant.serve.callers import Callers
from tests.scripted import SAMPLE, ScriptedRuntime, scripted_info, small_tokenizer

WAIT_S = 60.0


class HeldRuntime(ScriptedRuntime):
    """Runs while `gate` is open, which closes at call `closes_at`; says when first called."""

    def __init__(self, script: str) -> None:
        super().__init__(small_tokenizer(), script)
        self.gate, self.reached = threading.Event(), threading.Event()
        self.gate.set()
        self.closes_at = 0

    def append(self, ids: Sequence[int], *, all_logits: bool = False) -> NDArray[np.float32]:
        self.reached.set()
        if self.closes_at and self.n_calls == self.closes_at:
            self.gate.clear()
        assert self.gate.wait(WAIT_S)
        return super().append(ids, all_logits=all_logits)


@dataclass(frozen=True)
class Service:
    """A server that runs, and the network behind it."""

    port: int
    runtime: HeldRuntime
    server: CompletionServer
    web: Server
    clients: dict[str, OpenAI] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, key: str = "none") -> OpenAI:
        """Return the official client with a key, the same one each time."""
        if key not in self.clients:
            client = OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=WAIT_S)
            self.clients[key] = client
        return self.clients[key]


@contextmanager
def serving(
    script: str = SAMPLE, *, keys: Sequence[str] = (), per_minute: int = 10_000, deadline: int = 60
) -> Iterator[Service]:
    """Serve a network that knows `script` by heart, until the end of the block."""
    runtime = HeldRuntime(script)
    backend = LocalBackend(runtime, small_tokenizer(), scripted_info())
    args = Namespace(deadline=deadline, tls_certificate=None, tls_key=None)
    with ThreadPoolExecutor(1) as network, socket.create_server(("127.0.0.1", 0)) as listener:
        server = CompletionServer(backend, Callers(keys, per_minute), deadline, network)
        web = make_web_server(server.app, args)
        thread = threading.Thread(target=web.run, args=([listener],), name="serve")
        thread.start()
        service = Service(listener.getsockname()[1], runtime, server, web)
        try:
            yield service
        finally:
            runtime.gate.set()
            web.should_exit = True
            thread.join(WAIT_S)
            for client in service.clients.values():
                client.close()
