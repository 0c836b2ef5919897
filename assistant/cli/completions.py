"""`foretype completions SHELL`: what makes the shell complete foretype's own commands and options.

Written from the parsers that the commands use. Exit codes: 0 printed, 2 bad usage.
"""

import argparse
import importlib
import inspect
from collections.abc import Mapping, Sequence

import shtab

from assistant.cli.command import DONE, CommandParser, run_command, write

SHELLS = ("bash", "zsh", "fish")
_FILES = ("FILE", "FOLDER", "RECIPE", "REPO", "REPOSITORY")  # begins of what stands for a path

Commands = Mapping[str, tuple[str, str]]  # name -> module, one line of help


def main(argv: Sequence[str], commands: Commands) -> int:
    """Run `foretype completions` with its arguments; return the exit code."""

    def work() -> int:
        shell = _parser().parse_args(argv).shell
        write(shtab.complete(_parser_of_all(commands), shell))
        return DONE

    return run_command("completions", work)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="foretype completions",
        description="Print what makes a shell complete foretype's commands and options.",
        epilog=(
            "bash: > ~/.local/share/bash-completion/completions/foretype\n"
            "zsh:  > FOLDER/_foretype, a folder in your fpath\n"
            "fish: > ~/.config/fish/completions/foretype.fish"
        ),
    )
    parser.add_argument("shell", choices=SHELLS)
    return parser


def _parser_of_all(commands: Commands) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="foretype")
    parser.add_argument("-V", "--version", action="version", version="")
    parsers = parser.add_subparsers(metavar="COMMAND")
    for name, (module, text) in commands.items():
        own = parsers.add_parser(name, help=text)
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:  # it belongs to the `train` extra
            continue
        if steps := getattr(found, "STEPS", {}).get(name):
            step_parsers = own.add_subparsers(metavar="STEP")
            for step, (_, about) in steps.items():
                step_parsers.add_parser(step, help=about).add_argument("files", nargs="*")
        elif make := getattr(found, "_parser", None):
            takes_name = bool(inspect.signature(make).parameters)  # of several commands
            parsers.choices[name] = make(name) if takes_name else make()
    _mark_files(parser)
    return parser


def _mark_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # as shtab does: argparse has no other way
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark_files(inner)
        elif action.choices is None and action.nargs != 0:
            if not action.option_strings or str(action.metavar).startswith(_FILES):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
