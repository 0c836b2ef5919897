"""`foretype setup EDITOR`: show the few lines that start foretype, write them, or take them out.

Exit codes: 0 shown, written or done already, 1 nothing was written though it was asked for, 2 bad
usage. Without --write or --remove nothing is changed.
"""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from assistant.cli.command import (
    DONE,
    FAILED,
    CommandParser,
    UsageError,
    agrees,
    run_command,
    say_error,
)
from assistant.setup.change import Change, SetupError, SetupPlan, write
from assistant.setup.editors import CLIENTS, EDITORS, Editor, emacs, plan_removal
from assistant.setup.machine import Machine, server_command, this_machine
from assistant.setup.vscode import EXTENSION, FLAVOURS


def main(argv: Sequence[str]) -> int:
    """Run `foretype setup` with its arguments; return the exit code."""
    return run_command("setup", lambda: _run(_parser().parse_args(argv)))


def _run(options: argparse.Namespace) -> int:
    machine = this_machine()
    if not options.editor:
        if options.write or options.remove:
            raise UsageError("which editor? `foretype setup` lists them")
        return _print_editors(machine)
    editor = EDITORS[options.editor]
    if options.client and editor.name != "emacs":
        raise UsageError("--client is for emacs only")
    try:
        if options.remove:
            return _remove(editor, machine, is_agreed=options.yes)
        make = functools.partial(emacs, client=options.client) if options.client else editor.plan
        plan = make(machine, server_command(machine))
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
        program = machine.program(*editor.programs)
        state = "not found on the PATH"
        if program:
            try:
                is_ready = editor.is_set_up(machine, server_command(machine))
                state = f"{program}{', set up' * is_ready}"
            except SetupError as error:
                state = f"{program}: {error}"
        print(f"  {editor.name:<12} {editor.title:<12} {state}")
    print("\nOthers: docs/editors.md; each starts `foretype lsp`.")
    return DONE


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
    if not _carry_out(plan.change, is_agreed=is_agreed):
        return FAILED
    for note in plan.notes:
        print(note)
    print(f"Start {editor.title} anew and type. `foretype doctor` says whether all is well.")
    return DONE


def _carry_out(change: Change, *, is_agreed: bool) -> bool:
    print(change.diff())
    if not (is_agreed or agrees(f"Change {change.path}?")):
        print("Nothing was changed.")
        return False
    backup = write(change)
    done = "Removed" if change.after is None else "Written"
    print(f"{done}: {change.path}" + (f" (as it was: {backup})" if backup else ""))
    return True


def _remove(editor: Editor, machine: Machine, *, is_agreed: bool) -> int:
    change = plan_removal(editor, machine)
    if change is None:
        print(f"{editor.title} has nothing that `foretype setup` wrote.")
    elif not _carry_out(change, is_agreed=is_agreed):
        return FAILED
    if editor.name in FLAVOURS and editor.is_set_up(machine, []):
        program = machine.program(*editor.programs) or Path(editor.programs[0])
        print(f"Its extension goes with: {program.name} --uninstall-extension {EXTENSION}")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype setup",
        description="Show the lines that start foretype in an editor, write them or take them out.",
        epilog="Without an editor: which ones there are.",
    )
    add = parser.add_argument
    add("editor", nargs="?", choices=sorted(EDITORS), metavar="EDITOR")
    add("--write", action="store_true", help="show the change, ask, keep a backup, write")
    add("--remove", action="store_true", help="take out what --write has written; asks, too")
    add("--yes", action="store_true", help="do not ask")
    text = "emacs: by which language client (else as your file says)"
    add("--client", choices=CLIENTS, help=text)
    return parser
