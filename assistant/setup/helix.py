"""Helix: tables added to `languages.toml`, where that changes nothing of the user's.

Helix shows menus only, so the server is told to answer menu requests. Knows TOML and this file.
"""

import json
from typing import Any

from assistant.setup.change import SetupPlan, read_config, with_block, without_block
from assistant.setup.machine import Machine
from model.files import parse_toml

# What Helix itself starts for a language; a list of ours takes its place.
_SERVERS = {
    "python": ("ty", "ruff", "jedi", "pylsp"),
    "rust": ("rust-analyzer",),
    "go": ("gopls", "golangci-lint-lsp"),
    "c": ("clangd",),
    "cpp": ("clangd",),
    "java": ("jdtls",),
    "javascript": ("typescript-language-server",),
    "typescript": ("typescript-language-server",),
}
_CHANGED = ("language-server", "language")  # tables that ours go into


def helix(machine: Machine, command: list[str]) -> SetupPlan:
    """Plan a server table, and foretype in the list of each language not configured yet."""
    is_windows = machine.platform == "win32"
    folder = machine.application_folder if is_windows else machine.config_home
    path = folder / "helix" / "languages.toml"
    before = read_config(path)
    plan = SetupPlan(path=path, lines=_lines(command, set()))
    own = without_block(before or "", "#")
    try:
        table = parse_toml(own)
    except ValueError as error:
        return plan._replace(reason=f"{path} is not TOML: {error}")
    if "foretype" in table.get("language-server", {}):
        return plan._replace(done=True, reason=f"{path} names foretype")
    taken = {str(entry.get("name")) for entry in _languages(table)}
    lines = _lines(command, taken)
    plan = plan._replace(lines=lines, notes=_notes(taken))
    after = with_block(before or "", "#", lines)
    if not _keeps(table, after):
        return plan._replace(reason=f"{path} cannot take these tables at its end")
    return plan.make(before, after)


def _lines(command: list[str], taken: set[str]) -> str:
    lines = [
        "[language-server.foretype]",
        f"command = {_toml(command[0])}",
        f"args = [{', '.join(_toml(part) for part in command[1:])}]",
        "config = { menu_completion = true }",
    ]
    for name, servers in _SERVERS.items():
        if name not in taken:
            listed = ", ".join(_toml(server) for server in (*servers, "foretype"))
            lines += ["", "[[language]]", f"name = {_toml(name)}", f"language-servers = [{listed}]"]
    return "\n".join(lines) + "\n"


def _notes(taken: set[str]) -> tuple[str, ...]:
    notes = ["Suggestions come in Helix's completion menu; it cannot ask for grey text."]
    if ours := sorted(taken & _SERVERS.keys()):
        notes.append(
            f'You configure {", ".join(ours)} yourself: add "foretype" to its language-servers.'
        )
    return tuple(notes)


def _keeps(table: dict[str, Any], after: str) -> bool:
    """Say whether `after` is TOML that holds all of `table` still."""
    try:
        new = parse_toml(after)
    except ValueError:
        return False
    servers = {**new.get("language-server", {})}
    servers.pop("foretype", None)
    same_rest = all(new[key] == table[key] for key in table if key not in _CHANGED)
    return (
        same_rest
        and servers == table.get("language-server", {})
        and _languages(new)[: len(_languages(table))] == _languages(table)
    )


def _languages(table: dict[str, Any]) -> list[dict[str, Any]]:
    entries = table.get("language", [])
    return [entry for entry in entries if isinstance(entry, dict)]


def _toml(text: str) -> str:
    return json.dumps(text)  # a basic string of TOML is written the same way
