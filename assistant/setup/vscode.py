"""VS Code and the editors made of it: the extension to install, and where the server is.

Knows where each keeps its settings and extensions; runs none of them.
"""

import json
from pathlib import Path
from typing import NamedTuple

from assistant.setup import jsonc
from assistant.setup.change import SetupError, SetupPlan, read_config
from assistant.setup.machine import Machine, find_program, shipped

PATH_KEY = "foretype.path"
EXTENSION = "foretype.foretype"


class Flavour(NamedTuple):
    """One editor of the family."""

    name: str
    programs: tuple[str, ...]
    settings_folder: str  # within the folder of desktop programs
    extension_folder: str = ""  # within the home folder; "": all is in the data folder instead


FLAVOURS = {
    "vscode": Flavour("VS Code", ("code", "code-insiders"), "Code", ".vscode"),
    "vscodium": Flavour("VSCodium", ("codium", "vscodium"), "VSCodium", ".vscode-oss"),
    "cursor": Flavour("Cursor", ("cursor",), "Cursor", ".cursor"),
    "code-server": Flavour("code-server", ("code-server",), "code-server"),
}


def vscode(machine: Machine, command: list[str], *, editor: str = "vscode") -> SetupPlan:
    """Plan the setting that names our program; say how the extension is installed."""
    flavour = FLAVOURS[editor]
    path = _settings_file(machine, flavour)
    program = find_program(machine) if len(command) > 2 else command[0]
    lines = f'"{PATH_KEY}": {json.dumps(str(program))}\n'
    plan = SetupPlan(path=path, lines=lines, notes=_notes(machine, flavour))
    if program is None:
        reason = "no program `foretype` stands beside this Python; install the package with pip"
        return plan._replace(reason=reason)
    before = read_config(path)
    try:
        known = jsonc.loads(before) if before and before.strip() else {}
        if PATH_KEY in known:
            is_ours = known[PATH_KEY] == str(program)
            reason = "" if is_ours else f"{path} names {known[PATH_KEY]}"
            return plan._replace(done=True, reason=reason)
        after = jsonc.with_key(before or "", PATH_KEY, str(program))
    except jsonc.JsoncError as error:
        return plan._replace(reason=f"{path} cannot be changed safely: {error}")
    return plan.make(before, after)


def take_out(text: str) -> str:
    """Return settings without the one that names our program."""
    try:
        return jsonc.without_text_key(text, PATH_KEY)
    except jsonc.JsoncError as error:
        raise SetupError(f"the settings cannot be changed safely: {error}") from error


def is_extension_installed(machine: Machine, flavour: Flavour) -> bool:
    """Say whether our extension is in the editor's folder."""
    folder = _extensions(machine, flavour)
    return folder.is_dir() and any(
        entry.name.startswith(f"{EXTENSION}-") for entry in folder.iterdir() if entry.is_dir()
    )


def _settings_file(machine: Machine, flavour: Flavour) -> Path:
    base = machine.application_folder if flavour.extension_folder else machine.data_home
    return base / flavour.settings_folder / "User" / "settings.json"


def _extensions(machine: Machine, flavour: Flavour) -> Path:
    if not flavour.extension_folder:
        return machine.data_home / flavour.settings_folder / "extensions"
    return machine.home / flavour.extension_folder / "extensions"


def _notes(machine: Machine, flavour: Flavour) -> tuple[str, ...]:
    if is_extension_installed(machine, flavour):
        return ()
    program = machine.program(*flavour.programs)
    name = program.name if program else flavour.programs[0]
    folder = shipped("vscode")
    package = sorted(folder.glob("foretype-*.vsix")) if folder else []
    if package:
        line = f'{name} --install-extension "{package[-1]}"'  # as every shell understands it
        return (f"Install the extension: {line}",)
    how = f"editors/vscode/package makes it, then: {name} --install-extension foretype-*.vsix"
    return (f"Install the extension from a checkout of foretype: {how}",)
