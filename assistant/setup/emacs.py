"""Emacs: a few lines of Lisp between two marks in the init file.

Knows enough of Lisp to tell whether a file's parentheses close, and nothing of what it does.
"""

import dataclasses
import re
from pathlib import Path

from assistant.setup.change import Change, SetupError, read_config
from assistant.setup.machine import Machine, shipped
from assistant.setup.plan import Plan, with_block, without_block

_LINES = """\
(add-to-list 'load-path {folder})
(when (require 'foretype nil t)
  (setq foretype-command '({command}))
  (foretype-lsp-setup))
;; With eglot in place of lsp-mode, for each language that you want it for:
;; (add-hook 'python-mode-hook #'foretype-eglot-ensure)
"""
_NOTES = ("Needs the package lsp-mode, version 10; with eglot, add the hook named in the lines.",)
# A string, a character like ?\( or ?(, a comment, or a parenthesis; text between has no meaning.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w-])\?\\?.|;[^\n]*|[()\[\]]|\\.|"', re.DOTALL)
_PAIRS = {")": "(", "]": "["}


def emacs(machine: Machine, command: list[str]) -> Plan:
    """Plan a block at the end of the init file that Emacs would read."""
    path = init_file(machine)
    folder = shipped("emacs")
    if folder is None:
        raise SetupError("the Emacs package is missing from this installation; install it again")
    words = " ".join(_lisp(part) for part in command)
    body = _LINES.format(folder=_lisp(str(folder)), command=words)
    plan = Plan(editor="emacs", path=path, lines=body, notes=_NOTES)
    before = read_config(path)
    if before is None:
        return dataclasses.replace(plan, change=_change(path, None, body))
    if "foretype" in without_block(before, ";;"):
        return dataclasses.replace(plan, done=True, reason=f"{path} names foretype")
    if not is_balanced(before):
        return dataclasses.replace(plan, reason=f"the parentheses of {path} do not close")
    change = _change(path, before, body)
    if change.after == before:
        return dataclasses.replace(plan, done=True)
    return dataclasses.replace(plan, change=change)


def _change(path: Path, before: str | None, body: str) -> Change:
    return Change(path=path, before=before, after=with_block(before or "", ";;", body))


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
