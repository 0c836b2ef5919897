"""The editors that foretype can be set up in: how each is found, planned and recognised.

A table; what is particular to an editor is in the module named for it, but for Neovim and Vim: they
load every file of a folder, and foretype gets a file of its own there. Nothing that the user has
written is touched.
"""

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from assistant.setup.change import Change, SetupError, SetupPlan, read_config, without_block
from assistant.setup.emacs import emacs
from assistant.setup.helix import helix
from assistant.setup.machine import LAUNCHER, Machine, server_command, shipped
from assistant.setup.vscode import FLAVOURS, is_extension_installed, take_out, vscode

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


class Editor(NamedTuple):
    """One editor, by the name that a user gives to `foretype setup`."""

    name: str
    title: str
    programs: tuple[str, ...]
    plan: Callable[[Machine, list[str]], SetupPlan]
    take_out: Callable[[str], str | None]  # what is ours, of its file's text; None: all of it

    def program(self, machine: Machine) -> Path | None:
        """Return its program, None if it is not on the PATH."""
        return machine.program(*self.programs)

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
