"""VS Code and the editors made of it: the extension to install, and where the server is.

Knows where each keeps its settings and extensions; runs none of them. Settings are JSON with
comments and trailing commas: a key is put in or out, everything else stays as it was.
"""

import contextlib
import json
import re
from typing import Any, NamedTuple

from assistant.setup.change import SetupError, SetupPlan, read_config
from assistant.setup.machine import Machine, find_program, shipped

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_STRING_OR_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING_OR_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
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
    base = machine.application_folder if flavour.extension_folder else machine.data_home
    path = base / flavour.settings_folder / "User" / "settings.json"
    program = find_program(machine) if len(command) > 2 else command[0]
    lines = f'"{PATH_KEY}": {json.dumps(str(program))}\n'
    plan = SetupPlan(path=path, lines=lines, notes=_notes(machine, flavour))
    if program is None:
        reason = "no program `foretype` stands beside this Python; install the package with pip"
        return plan._replace(reason=reason)
    before = read_config(path)
    try:
        known = load_settings(before) if before and before.strip() else {}
        if PATH_KEY in known:
            is_ours = known[PATH_KEY] == str(program)
            reason = "" if is_ours else f"{path} names {known[PATH_KEY]}"
            return plan._replace(done=True, reason=reason)
        after = with_key(before or "", PATH_KEY, str(program))
    except SetupError as error:
        return plan._replace(reason=f"{path} cannot be changed safely: {error}")
    return plan.make(before, after)


def take_out(text: str) -> str:
    """Return settings without the one that names our program; SetupError if that is not safe."""
    try:
        old = load_settings(text) if text.strip() else {}
    except SetupError as error:
        raise SetupError(f"the settings cannot be changed safely: {error}") from error
    if PATH_KEY not in old:
        return text
    rest = {name: value for name, value in old.items() if name != PATH_KEY}
    entry = rf"\s*{re.escape(json.dumps(PATH_KEY))}\s*:\s*{_STRING}(?:\s*,)?"
    for match in re.finditer(entry, text):
        new = text[: match.start()] + text[match.end() :]
        with contextlib.suppress(SetupError):
            if load_settings(new) == rest:
                return new
    raise SetupError(f"the settings cannot be changed safely: cannot tell where {PATH_KEY} stands")


def is_extension_installed(machine: Machine, flavour: Flavour) -> bool:
    """Say whether our extension is in the editor's folder."""
    folder = machine.home / flavour.extension_folder / "extensions"
    if not flavour.extension_folder:
        folder = machine.data_home / flavour.settings_folder / "extensions"
    return folder.is_dir() and any(
        entry.name.startswith(f"{EXTENSION}-") for entry in folder.iterdir() if entry.is_dir()
    )


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


def load_settings(text: str) -> dict[str, Any]:
    """Return the object that `text` holds; SetupError otherwise."""

    def keep_string(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else " "

    bare = _STRING_OR_COMMENT.sub(keep_string, text)
    try:
        table = json.loads(_STRING_OR_TRAILING_COMMA.sub(keep_string, bare))
    except (ValueError, RecursionError) as error:
        raise SetupError(f"not JSON with comments: {error}") from error
    if not isinstance(table, dict):
        raise SetupError("not an object")
    return table


def with_key(text: str, key: str, value: Any) -> str:
    """Return `text` with `key` as the first of its object; it must not be there yet."""
    entry = f"{json.dumps(key)}: {json.dumps(value)}"
    if not text.strip():
        return f"{{\n    {entry}\n}}\n"
    old = load_settings(text)
    eol = "\r\n" if "\r\n" in text else "\n"
    blanked = _STRING_OR_COMMENT.sub(lambda match: " " * len(match[0]), text)
    start = blanked.index("{") + 1
    inserted = f"{eol}    {entry}{',' if old else ''}"
    rest = text[start:]
    if not old and not rest.lstrip(" \t").startswith(("\n", "\r")):
        inserted += eol
    new = text[:start] + inserted + rest
    if load_settings(new) != {key: value, **old}:
        raise SetupError("cannot tell where the object begins")
    return new
