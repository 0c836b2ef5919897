"""docs/shell.md in the real programs: bash, zsh and fish at a terminal, and Vim."""

import contextlib
import io
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import warm
from assistant.cli import completions
from foretype import COMMANDS
from tests.e2e.raw_client import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.usefixtures("shared_cache")]

TIMEOUT_S = 60
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PROMPTS = {"zsh": r"\x1b\[\?2004h", "fish": "[#>]"}  # from here on keys are read
TYPED = "echo hippopotamus_of_the_nile --number 1234 --colour"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `foretype` on the PATH; the process that answers ends with the test."""
    program = tmp_path / "bin" / "foretype"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "foretype.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "zebra.py").touch()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    warm.leave()


def block(kind: str) -> str:
    """Return the code of one kind that the page shows."""
    text = (ROOT / "docs" / "shell.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


class Terminal:
    """What a program that was started at a terminal is told and shows."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, pattern: str) -> None:
        """Wait until what was shown since the last time matches."""
        end = time.monotonic() + TIMEOUT_S
        while not (found := re.search(pattern, self.shown, re.DOTALL)):
            assert time.monotonic() < end, self.shown
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self.shown += os.read(self._descriptor, 1 << 16).decode("utf-8", "replace")
        self.shown = self.shown[found.end() :]


@contextlib.contextmanager
def terminal(shell: str) -> Iterator[Terminal]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    process, descriptor = pty.fork()
    if process == 0:
        os.execvp(shell, SHELLS[shell])
    try:
        yield Terminal(descriptor)
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(descriptor)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `foretype completions` prints for each shell, made in one process: it imports much."""
    folder = tmp_path_factory.mktemp("completions")
    for shell in SHELLS:
        out = io.TextIOWrapper(io.BytesIO())
        with contextlib.redirect_stdout(out):
            assert completions.main([shell], COMMANDS) == 0
        (folder / shell).write_bytes(out.detach().getvalue())  # type: ignore[attr-defined]
    return folder


LOAD = {
    "bash": "source {}",
    "zsh": "autoload -Uz compinit; compinit -u -D; source {}; compdef _shtab_foretype foretype",
    "fish": "source {}",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_commands_options_and_files(place: Path, scripts: Path, shell: str) -> None:
    script = scripts / shell
    with terminal(shell) as screen:
        screen.type(LOAD[shell].format(script) + "; echo rea''dy\r")
        screen.wait_for("ready")
        for typed, whole in [
            ("foretype complete --dead\t", "--deadline-ms"),
            ("foretype doct\t", "doctor"),
            ("foretype train fit-\t", "fit-next-edit"),
            ("foretype why zeb\t", "zebra.py"),
            ("foretype models roll\t", "rollback"),
        ]:
            screen.type(typed)
            screen.wait_for(whole)
            screen.type("\x15")  # the line is deleted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_command_line_is_completed_from_history(place: Path, shell: str) -> None:
    with terminal(shell) as screen:
        (place / "widget").write_text(block(shell))
        screen.type(f"source {place / 'widget'}; echo rea''dy\r")
        screen.wait_for("ready")
        for number in range(3):
            for command in (TYPED, f"echo {number}{number}{number}"):
                screen.wait_for(PROMPTS[shell])
                screen.type(f"{command}\r")
                screen.wait_for("(--colour|000|111|222)\r?\n")
        screen.wait_for(PROMPTS[shell])
        screen.type("echo hippopot\x18f")
        screen.wait_for("amus_of_the_nile")


def test_vim_puts_in_what_is_suggested(place: Path) -> None:
    if shutil.which("vim") is None:
        pytest.skip("vim is not installed")
    lines = ["def hippopotamus_of_the_nile(number, colour):", "    return number, colour", ""]
    lines += ["hippopotamus_of_the_nile(1, 2)"] * 3 + ["", "x = [hippopotamus_of_]", "é = 1"]
    (place / "a.py").write_text("\n".join(lines) + "\n")
    (place / "vimrc").write_text(block("vim"))
    row = len(lines) - 1
    keys = f'call feedkeys("{row}GA\\<Left>\\<C-l>\\<Esc>:wq\\<CR>", "tx")'
    command = ["vim", "-u", "vimrc", "-i", "NONE", "-N", "-n", "-es", "-c", keys, "a.py"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
    after = (place / "a.py").read_text().splitlines()
    assert after[: row - 1] == lines[: row - 1], done
    assert after[row - 1].startswith("x = [hippopotamus_of_the_nile")
    expected = subprocess.run(
        ["foretype", "complete", f"-:{row}:{len(lines[row - 1])}", "--path", "a.py"],
        input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=TIMEOUT_S,
    ).stdout.removesuffix("\n")  # fmt: skip
    assert after[row - 1][len("x = [hippopotamus_of_") :].startswith(expected)
