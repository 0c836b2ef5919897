"""The editors that foretype can be set up in: how each is found, planned and recognised.

A table; what is particular to an editor is in the module named for it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from assistant.setup import own_file
from assistant.setup.change import Change, SetupPlan, read_config, without_block
from assistant.setup.emacs import emacs
from assistant.setup.helix import helix
from assistant.setup.machine import Machine, server_command
from assistant.setup.own_file import neovim, vim
from assistant.setup.vscode import FLAVOURS, is_extension_installed, take_out, vscode


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
        Editor("nvim", "Neovim", ("nvim",), neovim, own_file.take_out),
        Editor("emacs", "Emacs", ("emacs",), emacs, _without_lisp),
        Editor("helix", "Helix", ("hx", "helix"), helix, _without_toml),
        Editor("vim", "Vim", ("vim",), vim, own_file.take_out),
        *_FAMILY,
    )
}
