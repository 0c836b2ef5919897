"""The editors that foretype can be set up in: how each is found, planned and recognised.

A table; what is particular to an editor is in the module named for it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assistant.setup.change import SetupPlan
from assistant.setup.emacs import emacs
from assistant.setup.helix import helix
from assistant.setup.machine import Machine
from assistant.setup.own_file import neovim, vim
from assistant.setup.vscode import FLAVOURS, is_extension_installed, vscode


@dataclass(frozen=True, kw_only=True, slots=True)
class Editor:
    """One editor, by the name that a user gives to `foretype setup`."""

    name: str
    title: str
    programs: tuple[str, ...]
    plan: Callable[[Machine, list[str]], SetupPlan]

    def program(self, machine: Machine) -> Path | None:
        """Return its program, None if it is not on the PATH."""
        return machine.program(*self.programs)

    def is_set_up(self, machine: Machine, command: list[str]) -> bool:
        """Say whether it starts foretype already; SetupError if its files cannot be read."""
        if self.name in FLAVOURS:  # the extension finds a program on the PATH by itself
            return is_extension_installed(machine, FLAVOURS[self.name])
        return self.plan(machine, command).done


_PLAIN = (
    Editor(name="nvim", title="Neovim", programs=("nvim",), plan=neovim),
    Editor(name="emacs", title="Emacs", programs=("emacs",), plan=emacs),
    Editor(name="helix", title="Helix", programs=("hx", "helix"), plan=helix),
    Editor(name="vim", title="Vim", programs=("vim",), plan=vim),
)
_FAMILY = tuple(
    Editor(
        name=name,
        title=flavour.name,
        programs=flavour.programs,
        plan=functools.partial(vscode, editor=name),
    )
    for name, flavour in FLAVOURS.items()
)
EDITORS: dict[str, Editor] = {editor.name: editor for editor in (*_PLAIN, *_FAMILY)}
