"""Programs that a test runs to their end, and what to know of others."""

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_program(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout's folder; what it says is text; pytest ends it in time."""
    usual = {"cwd": ROOT, "capture_output": True, "text": True}
    return subprocess.run(command, **(usual | options))


def is_running(process_id: int) -> bool:
    """Say whether it runs; one that nobody reaps has ended."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
