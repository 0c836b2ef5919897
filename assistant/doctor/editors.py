"""Checks of the editors: which are here, and whether they start foretype."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from assistant.doctor.finding import CheckResult, ok, warning
from assistant.setup.change import SetupError
from assistant.setup.editors import EDITORS, Editor
from assistant.setup.machine import Machine, server_command

NEOVIM_NEEDED = (0, 11)
VERSION_TIMEOUT_S = 10
_NOT_SET_UP = "is not set up"


def editors(machine: Machine) -> Iterator[CheckResult]:
    """Look at each editor that is on the PATH."""
    command = server_command(machine)
    found = [(editor, editor.program(machine)) for editor in EDITORS.values()]
    here = [(editor, program) for editor, program in found if program is not None]
    if not here:
        names = ", ".join(editor.title for editor in EDITORS.values())
        fix = "install one, or start `foretype lsp` from yours (editors/README.md)"
        yield warning("editors", f"none of {names} is on the PATH", fix)
    looked_at = [_editor(editor, program, machine, command) for editor, program in here]
    has_one = any(finding.state == "ok" for finding in looked_at)
    for finding in looked_at:
        # Who has set up one editor does not want to hear of every other on the machine.
        is_spare = has_one and finding.found.endswith(_NOT_SET_UP)
        yield ok(finding.name, f"{finding.found} ({finding.fix})") if is_spare else finding


def _editor(editor: Editor, program: Path, machine: Machine, command: list[str]) -> CheckResult:
    version = neovim_version(program) if editor.name == "nvim" else None
    if version is not None and version < NEOVIM_NEEDED:
        shown = ".".join(map(str, version))
        return warning(editor.title, f"{program} is {shown}", "install Neovim 0.11 or newer")
    try:
        is_set_up = editor.is_set_up(machine, command)
    except SetupError as error:
        return warning(editor.title, str(error), "make the file readable")
    if is_set_up:
        return ok(editor.title, f"{program} starts foretype")
    fix = f"foretype setup {editor.name}, then the same with --write"
    return warning(editor.title, f"{program} {_NOT_SET_UP}", fix)


def neovim_version(program: Path) -> tuple[int, int] | None:
    """Return the version that the program says it is, None if it does not say."""
    try:
        said = subprocess.run(  # noqa: S603 - a program on the user's own PATH
            [str(program), "--version"],
            capture_output=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
            cwd=program.parent,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(rb"NVIM v(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None
