"""Emacs: a few lines of Lisp between two marks in the init file.

Knows enough of Lisp to tell whether a file's parentheses close, and nothing of what it does.
"""

import re
from pathlib import Path

from assistant.setup.change import SetupError, SetupPlan, read_config, with_block, without_block
from assistant.setup.machine import Machine, shipped

CLIENTS = ("eglot", "lsp-mode")
_LINES = """\
(add-to-list 'load-path {folder})
(when (require 'foretype nil t)
  (setq foretype-command '({command}))
  (foretype-setup '{client})) ; or '{other}
"""
_NOTES = {
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
_CHOSEN = re.compile(r"\(foretype-setup '(eglot|lsp-mode)\)")
_USES_LSP = re.compile(r"^[^;\n]*(?:lsp-mode|#?'lsp(?:-deferred)?\b)", re.MULTILINE)
# A string, a character like ?\( or ?(, a comment, or a parenthesis; text between has no meaning.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w-])\?\\?.|;[^\n]*|[()\[\]]|\\.|"', re.DOTALL)
_PAIRS = {")": "(", "]": "["}


def emacs(machine: Machine, command: list[str], client: str = "") -> SetupPlan:
    """Plan a block at the end of the init file that Emacs would read.

    `client` is one of CLIENTS; "" goes by what the file says: our block, else what is used there.
    """
    path = init_file(machine)
    folder = shipped("emacs")
    if folder is None:
        raise SetupError("the Emacs package is missing from this installation; install it again")
    before = read_config(path)
    client = client or _client(before or "")
    body = _LINES.format(
        folder=_lisp(str(folder)),
        command=" ".join(_lisp(part) for part in command),
        client=client,
        other=next(name for name in CLIENTS if name != client),
    )
    plan = SetupPlan(path=path, lines=body, notes=_NOTES[client])
    if "foretype" in without_block(before or "", ";;"):
        return plan._replace(done=True, reason=f"{path} names foretype")
    if not is_balanced(before or ""):
        return plan._replace(reason=f"the parentheses of {path} do not close")
    return plan.make(before, with_block(before or "", ";;", body))


def _client(text: str) -> str:
    """Return the language client that an init file uses; eglot comes with Emacs."""
    if (chosen := _CHOSEN.search(text)) is not None:
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
    for match in _TOKEN.finditer(text):
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
