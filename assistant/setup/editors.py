"""The editors that foretype can be set up in: how each is found, planned and recognised.

Neovim and Vim load every file of a folder, and foretype gets a file of its own there. Emacs and
Helix get lines between two marks in the user's file. VS Code and its family have a module of their
own. Nothing that the user has written is touched: of Lisp and TOML enough is known to tell.
"""

import functools
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from assistant.setup.change import (
    Change,
    SetupError,
    SetupPlan,
    read_config,
    with_block,
    without_block,
)
from assistant.setup.machine import LAUNCHER, Machine, server_command, shipped
from assistant.setup.vscode import FLAVOURS, is_extension_installed, take_out, vscode
from model.files import parse_toml

OWN_MARK = "foretype setup"  # in the first line of a file that we wrote
MAX_FILES_READ = 500
FILE_TYPES: tuple[str, ...] = (
    "python", "javascript", "javascriptreact", "typescript", "typescriptreact", "go", "rust",
    "java", "c", "cpp",
)  # fmt: skip

_NEOVIM = """\
-- Written by `foretype setup nvim`; delete this file to undo it. Needs Neovim 0.11.
vim.opt.runtimepath:prepend({module})
local is_here, foretype = pcall(require, 'foretype') -- not once the package is uninstalled
if is_here then foretype.setup({{ cmd = {{ {command} }} }}) end
"""
_VIM = """\
" Written by `foretype setup vim`; delete this file to undo it. Needs Vim 9 and its plugin `lsp`.
let s:program = {program}
if executable(s:program) && filereadable({launcher}) " not once the package is uninstalled
autocmd User LspSetup call LspAddServer([#{{
  \\ name: 'foretype',
  \\ filetype: [{types}],
  \\ path: s:program,
  \\ args: [{arguments}],
  \\ initializationOptions: #{{menu_completion: v:true}},
  \\ }}])
endif
"""
CLIENTS = ("eglot", "lsp-mode")
_EMACS = """\
(add-to-list 'load-path {folder})
(when (require 'foretype nil t)
  (setq foretype-command '({command}))
  (foretype-setup '{client})) ; or '{other}
"""
_EMACS_NOTES = {
    "eglot": (
        "Needs eglot: Emacs 29 has it, before that: M-x package-install RET eglot.",
        "eglot runs one server for a buffer: where another has that place, foretype leaves it.",
        "With `--client lsp-mode` both run, by the package lsp-mode.",
    ),
    "lsp-mode": (
        "Needs the package lsp-mode, version 10. foretype runs beside your other servers.",
        "With `--client eglot` nothing is needed since Emacs 29.",
    ),
}
_CHOSEN_CLIENT = re.compile(r"\(foretype-setup '(eglot|lsp-mode)\)")
_USES_LSP = re.compile(r"^[^;\n]*(?:lsp-mode|#?'lsp(?:-deferred)?\b)", re.MULTILINE)
# A string, a character like ?\( or ?(, a comment, or a parenthesis; text between has no meaning.
_LISP_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w-])\?\\?.|;[^\n]*|[()\[\]]|\\.|"', re.DOTALL)
_PAIRS = {")": "(", "]": "["}
# What Helix itself starts for a language; a list of ours takes its place.
_HELIX_SERVERS = {
    "python": ("ty", "ruff", "jedi", "pylsp"),
    "rust": ("rust-analyzer",),
    "go": ("gopls", "golangci-lint-lsp"),
    "c": ("clangd",),
    "cpp": ("clangd",),
    "java": ("jdtls",),
    "javascript": ("typescript-language-server",),
    "typescript": ("typescript-language-server",),
}
_HELIX_TABLES = ("language-server", "language")  # tables that ours go into


def neovim(machine: Machine, command: list[str]) -> SetupPlan:
    """Plan a file in Neovim's `plugin` folder that loads our module."""
    folder = machine.config_home / (machine.environ.get("NVIM_APPNAME") or "nvim")
    module = shipped("neovim")
    if module is None:
        raise SetupError("the Neovim module is missing from this installation; install it again")
    lines = _NEOVIM.format(
        module=_lua(str(module)), command=", ".join(_lua(part) for part in command)
    )
    return _plan(folder / "plugin" / "foretype.lua", lines, _scripts(folder))


def vim(machine: Machine, command: list[str]) -> SetupPlan:
    """Plan a file in Vim's `plugin` folder for the plugin `lsp` (yegappan/lsp)."""
    folder = machine.home / ("vimfiles" if machine.platform == "win32" else ".vim")
    lines = _VIM.format(
        types=", ".join(_vim(name) for name in FILE_TYPES),
        program=_vim(command[0]),
        launcher=_vim(str(LAUNCHER)),
        arguments=", ".join(_vim(part) for part in command[1:]),
    )
    notes = (
        "Vim has no language client of its own: install the plugin yegappan/lsp.",
        "Suggestions come in its completion menu; Vim cannot ask for grey text.",
    )
    mine = itertools.chain([machine.home / ".vimrc", machine.home / "_vimrc"], _scripts(folder))
    plan = _plan(folder / "plugin" / "foretype.vim", lines, mine)
    return plan._replace(notes=notes)


def without_own_file(text: str) -> str | None:
    """Return None, for no file, if the text is one of ours; else the text."""
    return None if OWN_MARK in text.partition("\n")[0] else text


def _plan(path: Path, lines: str, scripts: Iterator[Path]) -> SetupPlan:
    """Plan `lines` as the file `path`, unless one of the user's `scripts` starts foretype."""
    plan = SetupPlan(path=path, lines=lines)
    before = read_config(path)
    if before is not None and without_own_file(before) is not None:
        return plan._replace(reason=f"{path} is there already and is not ours")
    for script in itertools.islice(scripts, MAX_FILES_READ) if before is None else ():
        if _mentions_us(script):
            return plan._replace(done=True, reason=f"{script} names foretype")
    return plan.make(before, lines)


def _scripts(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if name.endswith((".lua", ".vim")))


def _mentions_us(path: Path) -> bool:
    try:
        return "foretype" in (read_config(path) or "")
    except SetupError:  # not ours to read; then it cannot be told
        return False


def _lua(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _vim(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def emacs(machine: Machine, command: list[str], client: str = "") -> SetupPlan:
    """Plan a block at the end of the init file that Emacs would read.

    `client` is one of CLIENTS; "" goes by what the file says: our block, else what is used there.
    """
    path = init_file(machine)
    folder = shipped("emacs")
    if folder is None:
        raise SetupError("the Emacs package is missing from this installation; install it again")
    before = read_config(path)
    client = client or _client_used(before or "")
    body = _EMACS.format(
        folder=_lisp(str(folder)),
        command=" ".join(_lisp(part) for part in command),
        client=client,
        other=next(name for name in CLIENTS if name != client),
    )
    plan = SetupPlan(path=path, lines=body, notes=_EMACS_NOTES[client])
    if "foretype" in without_block(before or "", ";;"):
        return plan._replace(done=True, reason=f"{path} names foretype")
    if not is_balanced(before or ""):
        return plan._replace(reason=f"the parentheses of {path} do not close")
    return plan.make(before, with_block(before or "", ";;", body))


def _client_used(text: str) -> str:
    """Return the language client that an init file uses; eglot comes with Emacs."""
    if (chosen := _CHOSEN_CLIENT.search(text)) is not None:
        return chosen[1]
    return "lsp-mode" if _USES_LSP.search(without_block(text, ";;")) else "eglot"


def init_file(machine: Machine) -> Path:
    """Return the file that Emacs reads at its start, by its own rules."""
    home = machine.home
    old = [home / ".emacs.el", home / ".emacs", home / ".emacs.d" / "init.el"]
    if found := [path for path in old if path.is_file()]:
        return found[0]
    xdg = machine.config_home / "emacs"
    return xdg / "init.el" if xdg.is_dir() and not old[-1].parent.is_dir() else old[-1]


def is_balanced(text: str) -> bool:
    """Say whether all parentheses and strings of a Lisp file close."""
    opened: list[str] = []
    for match in _LISP_TOKEN.finditer(text):
        found = match.group()
        if found in ("(", "["):
            opened.append(found)
        elif found in _PAIRS:
            if not opened or opened.pop() != _PAIRS[found]:
                return False
        elif found == '"':  # opens a string that never ends
            return False
    return not opened


def _lisp(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def helix(machine: Machine, command: list[str]) -> SetupPlan:
    """Plan a server table, and foretype in the list of each language not configured yet."""
    is_windows = machine.platform == "win32"
    folder = machine.application_folder if is_windows else machine.config_home
    path = folder / "helix" / "languages.toml"
    before = read_config(path)
    plan = SetupPlan(path=path, lines=_helix_tables(command, set()))
    own = without_block(before or "", "#")
    try:
        table = parse_toml(own)
    except ValueError as error:
        return plan._replace(reason=f"{path} is not TOML: {error}")
    if "foretype" in table.get("language-server", {}):
        return plan._replace(done=True, reason=f"{path} names foretype")
    taken = {str(entry.get("name")) for entry in _languages(table)}
    lines = _helix_tables(command, taken)
    plan = plan._replace(lines=lines, notes=_helix_notes(taken))
    after = with_block(before or "", "#", lines)
    if not _keeps_all(table, after):
        return plan._replace(reason=f"{path} cannot take these tables at its end")
    return plan.make(before, after)


def _helix_tables(command: list[str], taken: set[str]) -> str:
    lines = [
        "[language-server.foretype]",
        f"command = {_toml(command[0])}",
        f"args = [{', '.join(_toml(part) for part in command[1:])}]",
        "config = { menu_completion = true }",
    ]
    for name, servers in _HELIX_SERVERS.items():
        if name not in taken:
            listed = ", ".join(_toml(server) for server in (*servers, "foretype"))
            lines += ["", "[[language]]", f"name = {_toml(name)}", f"language-servers = [{listed}]"]
    return "\n".join(lines) + "\n"


def _helix_notes(taken: set[str]) -> tuple[str, ...]:
    notes = ["Suggestions come in Helix's completion menu; it cannot ask for grey text."]
    if ours := sorted(taken & _HELIX_SERVERS.keys()):
        notes.append(
            f'You configure {", ".join(ours)} yourself: add "foretype" to its language-servers.'
        )
    return tuple(notes)


def _keeps_all(table: dict[str, Any], after: str) -> bool:
    """Say whether `after` is TOML that holds all of `table` still."""
    try:
        new = parse_toml(after)
    except ValueError:
        return False
    servers = {**new.get("language-server", {})}
    servers.pop("foretype", None)
    same_rest = all(new[key] == table[key] for key in table if key not in _HELIX_TABLES)
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


class Editor(NamedTuple):
    """One editor, by the name that a user gives to `foretype setup`."""

    name: str
    title: str
    programs: tuple[str, ...]
    plan: Callable[[Machine, list[str]], SetupPlan]
    take_out: Callable[[str], str | None]  # what is ours, of its file's text; None: all of it

    def is_set_up(self, machine: Machine, command: list[str]) -> bool:
        """Say whether it starts foretype already; SetupError if its files cannot be read."""
        if self.name in FLAVOURS:  # the extension finds a program on the PATH by itself
            return is_extension_installed(machine, FLAVOURS[self.name])
        return self.plan(machine, command).done


def plan_removal(editor: Editor, machine: Machine) -> Change | None:
    """Return what takes back what `foretype setup` wrote; None if there is nothing of that."""
    path = editor.plan(machine, server_command(machine)).path
    before = read_config(path)
    after = None if before is None else editor.take_out(before)
    if after == before:
        return None
    return Change(path=path, before=before, after=after if after and after.strip() else None)


_FAMILY = (
    Editor(name, flavour.name, flavour.programs, functools.partial(vscode, editor=name), take_out)
    for name, flavour in FLAVOURS.items()
)
_without_lisp = functools.partial(without_block, comment=";;")
_without_toml = functools.partial(without_block, comment="#")
EDITORS = {
    editor.name: editor
    for editor in (
        Editor("nvim", "Neovim", ("nvim",), neovim, without_own_file),
        Editor("emacs", "Emacs", ("emacs",), emacs, _without_lisp),
        Editor("helix", "Helix", ("hx", "helix"), helix, _without_toml),
        Editor("vim", "Vim", ("vim",), vim, without_own_file),
        *_FAMILY,
    )
}
