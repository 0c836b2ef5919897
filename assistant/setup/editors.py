"""The editors that foretype can be set up in: how each is found, planned and recognised.

A table; what is particular to an editor is in the module named for it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assistant.setup import own_file
from assistant.setup.change import Change, SetupPlan, read_config, without_block
from assistant.setup.emacs import emacs
from assistant.setup.helix import helix
from assistant.setup.machine import Machine, server_command
from assistant.setup.own_file import neovim, vim
from assistant.setup.vscode import FLAVOURS, is_extension_installed, take_out, vscode


@dataclass(frozen=True, kw_only=True, slots=True)
class Editor:
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


_PLAIN = (
    Editor(
        name="nvim", title="Neovim", programs=("nvim",), plan=neovim, take_out=own_file.take_out
    ),
    Editor(
        name="emacs",
        title="Emacs",
        programs=("emacs",),
        plan=emacs,
        take_out=functools.partial(without_block, comment=";;"),
    ),
    Editor(
        name="helix",
        title="Helix",
        programs=("hx", "helix"),
        plan=helix,
        take_out=functools.partial(without_block, comment="#"),
    ),
    Editor(name="vim", title="Vim", programs=("vim",), plan=vim, take_out=own_file.take_out),
)
_FAMILY = tuple(
    Editor(
        name=name,
        title=flavour.name,
        programs=flavour.programs,
        plan=functools.partial(vscode, editor=name),
        take_out=take_out,
    )
    for name, flavour in FLAVOURS.items()
)
EDITORS: dict[str, Editor] = {editor.name: editor for editor in (*_PLAIN, *_FAMILY)}
