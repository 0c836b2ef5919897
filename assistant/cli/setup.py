"""`foretype setup EDITOR`: show the few lines that start foretype, or write them.

Exit codes: 0 shown, written or done already, 1 nothing was written though it was asked for, 2 bad
usage. Without --write nothing is changed.
"""

import argparse
from collections.abc import Sequence

from assistant.cli.command import (
    DONE,
    FAILED,
    CommandParser,
    UsageError,
    agrees,
    run_command,
    say_error,
)
from assistant.setup.change import SetupError, SetupPlan, write
from assistant.setup.editors import EDITORS, Editor
from assistant.setup.emacs import CLIENTS, emacs
from assistant.setup.machine import Machine, server_command, this_machine


def main(argv: Sequence[str]) -> int:
    """Run `foretype setup` with its arguments; return the exit code."""
    return run_command("setup", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    machine = this_machine()
    if not options.editor:
        return _print_editors(machine)
    editor = EDITORS[options.editor]
    if options.client and editor.name != "emacs":
        raise UsageError("--client is for emacs only")
    try:
        command = server_command(machine)
        if options.client:
            plan = emacs(machine, command, options.client)
        else:
            plan = editor.plan(machine, command)
        if options.write:
            return _write(editor, plan, is_agreed=options.yes)
    except SetupError as error:
        say_error("setup", f"{error}; nothing was changed")
        return FAILED
    _print_plan(editor, plan, f" --client {options.client}" if options.client else "")
    return DONE


def _print_editors(machine: Machine) -> int:
    print("Editors that `foretype setup EDITOR` knows:\n")
    for editor in EDITORS.values():
        program = editor.program(machine)
        state = (
            f"{program}{_describe_state(editor, machine)}" if program else "not found on the PATH"
        )
        print(f"  {editor.name:<12} {editor.title:<12} {state}")
    print("\nOthers: see editors/README.md; each starts `foretype lsp`.")
    return DONE


def _describe_state(editor: Editor, machine: Machine) -> str:
    try:
        return ", set up" if editor.is_set_up(machine, server_command(machine)) else ""
    except SetupError as error:
        return f": {error}"


def _print_plan(editor: Editor, plan: SetupPlan, chosen: str = "") -> None:
    if plan.done:
        print(f"{editor.title} starts foretype already ({plan.reason or plan.path}).")
    else:
        print(f"In {plan.path}:\n\n{plan.lines}")
        if plan.reason:
            print(f"To be done by hand: {plan.reason}.")
        elif plan.change is not None:
            print(f"`foretype setup {editor.name}{chosen} --write` does that.")
    for note in plan.notes:
        print(note)


def _write(editor: Editor, plan: SetupPlan, *, is_agreed: bool) -> int:
    if plan.change is None:
        _print_plan(editor, plan)
        return DONE if plan.done else FAILED
    print(plan.change.diff())
    if not (is_agreed or agrees(f"Change {plan.path}?")):
        print("Nothing was changed.")
        return FAILED
    backup = write(plan.change)
    print(f"Written: {plan.path}" + (f" (as it was: {backup})" if backup else ""))
    for note in plan.notes:
        print(note)
    print(f"Start {editor.title} anew and type. `foretype doctor` says whether all is well.")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype setup",
        description="Show the few lines that make an editor start foretype, or write them.",
        epilog="Without an editor: which ones there are. Nothing is changed without --write.",
    )
    parser.add_argument("editor", nargs="?", choices=sorted(EDITORS), metavar="EDITOR")
    parser.add_argument(
        "--write", action="store_true", help="show the change, ask, keep a backup, write"
    )
    parser.add_argument("--yes", action="store_true", help="with --write: do not ask")
    parser.add_argument(
        "--client", choices=CLIENTS, help="emacs: by which language client (else as your file says)"
    )
    return parser
