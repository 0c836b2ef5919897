"""A remote side for one server of the tests, asked as the engine asks it."""

import time
from pathlib import Path
from typing import Any

from assistant.remote.inflight import InflightRequest, RemoteText
from assistant.remote.ledger import Ledger
from assistant.remote.policy import Remote
from assistant.remote.settings import RemoteSettings
from assistant.request import Cancel, CompletionRequest
from model.paths import state_folder
from tests.remote_server import RemoteServer
from tests.waiting import wait_for

TEXT = "def add(a, b):\n    return "
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


class Desk:
    """A Remote for one server, and a folder with the file that is completed."""

    def __init__(self, folder: Path, server: RemoteServer, **changes: Any) -> None:
        table: dict[str, Any] = {
            "mode": "fallback", "provider": "openai", "url": server.url, "model": "m",
            "send_code_to": "127.0.0.1",
            "connect_s": 60.0, "read_s": 60.0, "total_s": 120.0,
        }  # fmt: skip
        (folder / "a.py").write_text(TEXT)
        self.server = server
        self.remote = Remote(RemoteSettings(**(table | changes)), folder.joinpath)
        self.ledger = Ledger(state_folder())

    def request(self, text: str = TEXT, path: str = "a.py") -> CompletionRequest:
        offset = text.index("|") if "|" in text else len(text)
        return CompletionRequest(path=path, text=text.replace("|", "", 1), offset=offset)

    def ask(
        self,
        text: str = TEXT,
        *,
        confidence: float | None = None,
        cancel: Cancel | None = None,
        path: str = "a.py",
    ) -> str | None:
        """Go through before and after as the engine does; return the server's text."""
        request = self.request(text, path)
        inflight = self.remote.before(request, blocks=True)
        answer = self.after(inflight, confidence, cancel, request)
        return answer.text if answer else None

    def after(
        self,
        inflight: InflightRequest | None,
        confidence: float | None = None,
        cancel: Cancel | None = None,
        request: CompletionRequest | None = None,
    ) -> RemoteText | None:
        return self.remote.after(
            request or self.request(),
            inflight,
            confidence=confidence,
            deadline=time.monotonic() + 120,
            cancel=cancel or Cancel(),
        )

    def settle(self) -> None:
        """Wait until nothing is under way."""
        wait_for(lambda: not self.remote._sender._inflight)

    def rows(self) -> list[dict[str, Any]]:
        return self.ledger.rows()
