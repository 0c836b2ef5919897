"""What every command has in common: its parser, its one-line errors, its exit codes, its output.

A terminal is shown no control characters but those that we mean. Names of files, branches and
models are chosen by others: a sequence in one could move the cursor, hide what follows or set the
title, and what no encoding holds would end the command.
"""

import argparse
import contextlib
import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO, cast

from assistant.errors import AssistantError
from assistant.logs import escape_controls

DONE, FAILED, BAD_USAGE = 0, 1, 2
ON_WINDOWS = os.name == "nt"


class UsageError(AssistantError, ValueError):
    """The command line is wrong; the message says how."""


class CommandParser(argparse.ArgumentParser):
    """Raises UsageError where the command line is wrong, and shows help as it is written."""

    def __init__(self, **options: Any) -> None:
        as_written = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=as_written, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, for `run_command` to show."""
        raise UsageError(message)


def run_command(name: str, work: Callable[[], int], *mistakes: tuple[type[Exception], int]) -> int:
    """Run `foretype NAME` and return its exit code.

    `mistakes` are what a user can cause and mend, with the exit code of each, the particular ones
    first; each is one line on standard error, as is a disk or a file that refuses.
    """
    usual = mistakes or ((AssistantError, FAILED),)
    pairs: list[tuple[type[Exception], int]] = [(UsageError, BAD_USAGE), *usual, (OSError, FAILED)]
    try:
        return work()
    except tuple(kind for kind, _ in pairs) as error:
        if is_closed_pipe(error):  # `foretype.main` knows what to do
            raise
        say_error(name, error)
        return next(code for kind, code in pairs if isinstance(error, kind))


def is_closed_pipe(error: BaseException) -> bool:
    """Say whether whoever read the output has gone; Windows has another word for it."""
    is_invalid = isinstance(error, OSError) and error.errno == errno.EINVAL and not error.filename
    return isinstance(error, BrokenPipeError) or (ON_WINDOWS and is_invalid)


def say_error(name: str, problem: object) -> None:
    """Write one line on standard error; of what the system refuses, its words and the place."""
    if isinstance(problem, OSError) and problem.strerror:
        place = "" if problem.filename is None else f"{problem.filename}: "
        problem = f"{place}{problem.strerror}"
    print(f"foretype {name}: {' '.join(str(problem).split())}", file=sys.stderr)


def as_word(text: str) -> str:
    """Return a word of a command as it can be copied into a shell."""
    if ON_WINDOWS:
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)


def write(text: str) -> None:
    """Write UTF-8 whatever the locale; a name that it could not decode goes out as it came in.

    On a terminal it goes the way of all that is printed.
    """
    if sys.stdout.isatty():
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def write_json(table: Any) -> None:
    """Write a table as JSON for people and programs."""
    write(json.dumps(table, ensure_ascii=False, indent=2) + "\n")


def agrees(question: str) -> bool:
    """Ask whoever sits at the terminal; no answer, as without a terminal, is a no."""
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        sys.stdout.write("no answer; --yes agrees beforehand\n")
        return False


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Let what is printed meanwhile pass through `escape_controls`."""
    out, error = (cast("TextIO", _PlainStream(stream)) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        yield


class _PlainStream:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        shown = escape_controls(text).encode(encoding, "backslashreplace").decode(encoding)
        return self._stream.write(shown)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
