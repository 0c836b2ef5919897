"""Runs a program under strace; finds the system calls that leave this machine or our folders.

Python's own audit hooks see nothing that a native library does; the kernel's interface sees all.
Where a user may make namespaces, it also runs in a network where everything answers, and each
packet counts: a program that finds no network may only be silent because of that.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.offline import without_network

_OPTIONS = ["-f", "-qq", "-y", "-s", "200", "--seccomp-bpf", "-e", "signal=none"]
_CALLS = "trace=network,open,openat,creat"
_SOCKET = re.compile(r"\b(?:socket|connect|bind|sendto|sendmsg|sendmmsg)\(.*AF_(?!UNIX)")
_OPENED = re.compile(r"\b(?:open|openat|creat)\(.* = \d+<(?P<path>[^>]*)>$")
_WRITES = re.compile(r"\bcreat\(|O_WRONLY|O_RDWR|O_CREAT")


@dataclass(frozen=True)
class Watch:
    """One program's run under strace: what to put before its command, and what it did."""

    log: Path
    ours: Sequence[Path]  # folders that it may write to

    @property
    def prefix(self) -> list[str]:
        network = without_network() if shutil.which("ip") else []
        if network:
            program = str(Path(__file__).with_name("packets.py"))
            network = [*network, sys.executable, program, str(self._packets)]
        return [*network, "strace", *_OPTIONS, "-e", _CALLS, "-o", str(self.log)]

    @property
    def _packets(self) -> Path:
        return self.log.with_suffix(".packets")

    def packets(self) -> list[str]:
        """Lines about all that was sent; none where there was no network to watch."""
        return self._packets.read_text().splitlines() if self._packets.exists() else []

    def violations(self) -> list[str]:
        """Calls that reach for a network, a name service included, or write outside `ours`."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line for line in lines if _SOCKET.search(line) or self._writes_elsewhere(line)]
        return found + self.packets()

    def n_calls(self) -> int:
        return len(self.log.read_text(encoding="utf-8", errors="replace").splitlines())

    def _writes_elsewhere(self, line: str) -> bool:
        opened = _OPENED.search(line)
        if opened is None or not _WRITES.search(line):
            return False
        path = opened["path"].removesuffix(" (deleted)")
        allowed = ("/dev/null", "/dev/tty", *(f"{folder}/" for folder in self.ours))
        return not path.startswith(allowed)


def why_not() -> str:
    """Return why programs cannot be watched here; "" where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", *_OPTIONS, "-o", "/dev/null", "true"], capture_output=True, timeout=60
    )
    return "" if tried.returncode == 0 else f"strace does not run here: {tried.stderr.decode()}"
