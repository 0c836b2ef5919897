"""Editors that load every file of a folder: foretype gets a file of its own there.

Neovim and Vim. Nothing that the user has written is touched. Knows these two and no others.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from assistant.setup.change import SetupError, SetupPlan, read_config
from assistant.setup.machine import LAUNCHER, Machine, shipped

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


def take_out(text: str) -> str | None:
    """Return None, for no file, if the text is one of ours; else the text."""
    return None if OWN_MARK in text.partition("\n")[0] else text


def _plan(path: Path, lines: str, scripts: Iterator[Path]) -> SetupPlan:
    """Plan `lines` as the file `path`, unless one of the user's `scripts` starts foretype."""
    plan = SetupPlan(path=path, lines=lines)
    before = read_config(path)
    if before is not None and take_out(before) is not None:
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
