"""2026-11-29: a repository on PYTHONPATH ran its `sitecustomize` in the server.

Cause: Python imports it before our first line; only `-I` on the command line keeps it out.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.index.updater import build_command
from assistant.settings import Settings
from assistant.setup.editors import EDITORS
from assistant.setup.machine import Machine, server_command
from assistant.setup.vscode import FLAVOURS

MACHINE = Machine(home=Path("/nowhere"), environ={}, platform="linux")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    for name in ("sitecustomize", "usercustomize", "foretype", "assistant"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a')\n")
    return tmp_path


def start(command: list[str], hostile: Path) -> bool:
    """Run in a hostile repository; say whether anything of it ran."""
    environment = os.environ | {"PYTHONPATH": str(hostile)}
    done = subprocess.run(
        command, cwd=hostile, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return (hostile / "ran").exists()


def test_what_setup_writes_runs_nothing_of_a_repository(hostile: Path) -> None:
    command = server_command(MACHINE)
    assert command[1] == "-I"
    assert not start(command, hostile)
    assert start([sys.executable, "-c", ""], hostile)  # the traps do catch


def test_the_process_that_builds_an_index_runs_nothing_of_it(hostile: Path) -> None:
    assert not start(build_command(hostile, Settings(index_mb=1)), hostile)


@pytest.mark.parametrize("name", [name for name in EDITORS if name not in FLAVOURS])
def test_every_editor_gets_that_command(name: str) -> None:
    lines = EDITORS[name].plan(MACHINE, server_command(MACHINE)).lines
    assert re.search(r"""['"]-I['"]""", lines)


def test_editors_that_start_a_program_clear_the_variable() -> None:
    editors = Path(__file__).parents[2] / "editors"
    code = editors / "vscode" / "src"
    assert "ENVIRONMENT = { PYTHONPATH: '' }" in (code / "locate.ts").read_text()
    for name in ("server.ts", "reports.ts", "terminals.ts"):  # lsp, doctor, tune
        assert re.search(r"env: [^\n]*ENVIRONMENT", (code / name).read_text()), name
    assert "PYTHONPATH = ''" in (editors / "neovim/lua/foretype/server.lua").read_text()
