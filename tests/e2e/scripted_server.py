"""The real server process around an engine whose answers the test can foretell.

The engine does what the last word before the cursor says; otherwise it offers `mirror` of the
line before the cursor, which proves that the server's text and cursor are the client's.
Run as `python -m tests.e2e.scripted_server [--hasty] [--gate FILE] [server options]`; a hasty one
writes its index and its counts all the time.
"""

import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings
from lsp import session
from lsp.__main__ import main

TOKEN_S = 0.005
MAX_TOKENS = 6000
POLL_S = 0.05
NOISE_LINES = 3000


def mirror(line: str) -> str:
    """What the scripted engine offers after `line`."""
    return f"[{line[::-1]}]"


def completion(text: str, start: int, end: int) -> Completion:
    return Completion(
        text=text,
        start=start,
        end=end,
        source="network",
        finish_reason="stop",
        logprob=-1.0,
    )


class ScriptedEngine:
    """Obeys the word before the cursor."""

    def __init__(self, gate: Path | None = None) -> None:
        self.settings = Settings()
        self._gate = gate
        self._clock = threading.Event()

    def load(self) -> None:
        while self._gate is not None and not self._gate.exists():
            self._clock.wait(TOKEN_S)
        if self._gate is not None and self._gate.read_text() == "broken":
            raise ValueError("a secret in an error text")

    def complete(self, request: CompletionRequest, cancel: Cancel) -> Sequence[Completion]:
        before = request.text[: request.offset]
        line = before.rpartition("\n")[2]
        at = request.offset
        word = line.rpartition(" ")[2]
        if word == "slow":
            self._decode(cancel)
        elif word == "raise":
            raise ValueError(request.text)
        elif word == "print":
            print("printed by a library", flush=True)
            os.write(1, b"Content-Length: 2\r\n\r\n{}")
        elif word == "noise":
            for number in range(NOISE_LINES):
                logging.getLogger("assistant").error("line %d %s", number, "x" * 100)
        elif word == "wide":
            return [completion("wide", at - 100_000, at + 100_000)]
        answers = {
            "nothing": "",
            "slow": "slow answer",
            "lines": "one\n\ttwo\nthree",
            "path": f"{request.path}|{request.language}",
            "setting": self.settings.multi_line,
        }
        text = answers.get(word, mirror(line))
        return [completion(text, at, at)] if text else []

    def _decode(self, cancel: Cancel) -> None:
        """Stop within one token of being cancelled."""
        for _ in range(MAX_TOKENS):
            if cancel.is_set():
                return
            self._clock.wait(TOKEN_S)


def hurry() -> None:
    from assistant.index import updater
    from lsp import server

    updater.START_S = updater.QUIET_S = server.LOOK_S = 0.03
    server.SAVE_LOOKS = 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--hasty"]:
        arguments = arguments[1:]
        hurry()
    place = None
    if arguments[:1] == ["--gate"]:
        place, arguments = Path(arguments[1]), arguments[2:]
    session.POLL_S = POLL_S
    sys.exit(main(arguments, engine=ScriptedEngine(place)))
