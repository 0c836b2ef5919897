"""The product's own server and model as editors start it, and what befalls it in a test.

In a network namespace with nothing in it, where the machine allows that. Knows no editor.
"""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import HOME_VARIABLES
from tests.e2e.offline import without_network
from tests.programs import ROOT

FIRST_S = 300
# What comes must depend neither on the machine's load nor on how sure the ranking is of a sample.
SETTINGS = 'deadline_ms = 20000\nshow = "eager"\n'


class ServerProgram:
    """A program for an editor's settings; `others` are shell lines for what is not the server."""

    def __init__(self, place: Path, cache: Path, *, others: str = "") -> None:
        self.path, self.log = place / "foretype", place / "server.log"
        self._pids = place / "pids"
        homes = {variable: place / folder for variable, folder in HOME_VARIABLES.items()}
        homes["FORETYPE_CACHE"] = cache
        for folder in homes.values():
            folder.mkdir(parents=True, exist_ok=True)
        settings = homes["XDG_CONFIG_HOME"] / "foretype" / "settings.toml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(SETTINGS, encoding="utf-8")
        command = [sys.executable, str(ROOT / "foretype.py")]
        lines = ["#!/bin/sh"]
        lines += [f"export {name}={shlex.quote(str(path))}" for name, path in homes.items()]
        lines += [others, f'[ "$1" = lsp ] || exec {shlex.join(command)} "$@"']
        # Not the editor's own child: Emacs gives up one that is stopped.
        note = ["sh", "-c", 'echo $$ >>"$0"; exec "$@"', str(self._pids)]
        served = shlex.join([*note, *without_network(), *command])
        lines += [f'{served} "$@" --log-file {shlex.quote(str(self.log))}']
        self.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.path.chmod(0o755)
        # The model is made ready for this machine once, as after a first use.
        sample = f"{ROOT / 'docs' / 'samples' / 'inventory' / 'store.py'}:10:1"
        self.run("complete", sample)

    def run(self, *arguments: str) -> None:
        """Run it in a shell, as the user of these editors."""
        subprocess.run([str(self.path), *arguments], capture_output=True, timeout=FIRST_S)

    def pids(self) -> list[int]:
        """The processes that live."""
        started = self._pids.read_text("ascii").split() if self._pids.exists() else []
        return [pid for pid in map(int, started) if Path(f"/proc/{pid}").exists()]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            os.kill(pid, number)

    def has_network(self) -> bool:
        """Say whether one of them shares this process's network."""
        ours = Path("/proc/self/ns/net").readlink()
        return any(Path(f"/proc/{pid}/ns/net").readlink() == ours for pid in self.pids())
