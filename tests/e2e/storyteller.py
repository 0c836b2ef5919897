"""The real server process around an engine that tells known stories, one for each situation.

What it offers depends on the cursor's line: see `story`. `sync = ` answers with a checksum of the
text before the cursor, which proves that the server has the very document that the editor shows;
`where = ` with the path that the engine is told, which is short inside a workspace folder; `net = `
with whether this process has a network.
Run as `python -m tests.e2e.storyteller [server options]`.
"""

import errno
import os
import socket
import sys
import threading
import time
import zlib
from collections.abc import Sequence

from assistant.cancel import Cancel
from assistant.request import Completion, CompletionRequest
from assistant.settings import Settings
from lsp.__main__ import main
from tests.e2e.scripted_server import completion

CALL, SECOND = "foobar(a, b)", "second_choice"
WIDE = "“naïve” 😀🦊 done"
BLOCK = "first()\n    second()\n    third()"
BRACKETED = "left, right)"
SLOW_S = 1.5
STEP_S = 0.01
OFFLINE, ONLINE = "network_unreachable", "network_there"


def checksum(before: str) -> str:
    """What `sync = ` is answered with; line ends count as LF."""
    return f"crc_{zlib.crc32(before.replace(chr(13), '').encode()):08x}"


def rest(typed: str, *choices: str) -> list[str]:
    return [choice[len(typed) :] for choice in choices if choice.startswith(typed)]


def network() -> str:
    """Say whether this process could reach even its own machine."""
    with socket.socket() as probe:
        failed = probe.connect_ex(("127.0.0.1", 9))
    return OFFLINE if failed == errno.ENETUNREACH else ONLINE


def story(before: str, after: str, path: str = "") -> tuple[list[str], int, float]:
    """Return the texts offered, the characters replaced after the cursor, and the seconds taken."""
    line = before.rpartition("\n")[2].rpartition("; ")[2]  # the last statement on it
    name, equals, typed = line.lstrip().partition(" = ")
    if "pair(" in line:
        return rest(line.partition("pair(")[2], BRACKETED), int(after.startswith(")")), 0.0
    if not equals:
        opens = before.rstrip(" ").endswith(":\n") or before.rstrip("\t").endswith(":\n")
        return ([BLOCK] if opens and not line.strip() else []), 0, 0.0
    if name == "crash":
        os._exit(3)
    if name == "sync":
        return rest(typed, checksum(before[: len(before) - len(typed)])), 0, 0.0
    if name == "where":
        return rest(typed, path), 0, 0.0
    if name == "net":
        return rest(typed, network()), 0, 0.0
    if name == "wide":
        return rest(typed, WIDE), 0, 0.0
    if name == "slow":
        return (["old"], 0, SLOW_S) if not typed else (rest(typed, "yes_new"), 0, 0.0)
    return rest(typed, CALL, SECOND), 0, 0.0


class Storyteller:
    """Takes the place of the engine."""

    def __init__(self) -> None:
        self.settings = Settings()
        self._clock = threading.Event()

    def load(self) -> None:
        """Nothing to load."""

    def complete(self, request: CompletionRequest, cancel: Cancel) -> Sequence[Completion]:
        at = request.offset
        texts, n_replaced, seconds = story(request.text[:at], request.text[at:], request.path)
        end = time.monotonic() + seconds  # by the clock: steps take longer on a busy machine
        while time.monotonic() < end:  # cancelled or not: a rude engine
            self._clock.wait(STEP_S)
        return [completion(text, at, at + n_replaced) for text in texts if text]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], engine=Storyteller()))
