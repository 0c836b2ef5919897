"""Programs that a test runs to their end."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_program(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout's folder; what it says is text; pytest ends it in time."""
    usual = {"cwd": ROOT, "capture_output": True, "text": True}
    return subprocess.run(command, **(usual | options))
