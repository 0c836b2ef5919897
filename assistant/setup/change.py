"""One change to a user's file: planned, shown as a diff, written atomically beside a backup.

Knows text and files, no editor and no questions.
"""

import difflib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from assistant.errors import AssistantError
from model.files import MissingFileError, UnreadableFileError, read_regular
from model.publish import write_atomically

MAX_CONFIG_BYTES = 4 << 20
MAX_BACKUPS = 100
START, END = ">>> foretype >>>", "<<< foretype <<<"


class SetupError(AssistantError):
    """A user's file cannot be changed safely; the message says why, and nothing was changed."""


class Change(NamedTuple):
    """What a file holds, and what it should hold."""

    path: Path
    before: str | None  # None: there is no such file
    after: str | None  # None: there shall be none

    def diff(self) -> str:
        """Return the change as a unified diff."""
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True),
            (self.after or "").splitlines(keepends=True),
            fromfile="/dev/null" if self.before is None else str(self.path),
            tofile="/dev/null" if self.after is None else str(self.path),
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


class SetupPlan(NamedTuple):
    """How one editor is made to start foretype."""

    path: Path  # the file in which the lines belong
    lines: str
    change: Change | None = None  # None: it is done already, or a person has to do it
    done: bool = False  # the file starts foretype already
    reason: str = ""  # why there is no change
    notes: tuple[str, ...] = ()  # what else is needed, a sentence each

    def make(self, before: str | None, after: str) -> "SetupPlan":
        """Return the plan with the change of its file's text; done if there is none."""
        if before == after:
            return self._replace(done=True)
        change = Change(path=self.path, before=before, after=after)
        return self._replace(change=change)


def read_config(path: Path) -> str | None:
    """Return a settings file's text, line ends as they are; None if there is none."""
    try:
        return read_regular(path, MAX_CONFIG_BYTES).decode("utf-8")
    except MissingFileError:
        return None
    except UnreadableFileError as error:
        raise SetupError(str(error)) from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8 text") from error


def write(change: Change) -> Path | None:
    """Make a change; return the backup of the old file, None if there was none or it was all ours.

    A link stays a link: the file behind it is replaced. SetupError if the file is no longer what
    the change was made for.
    """
    if read_config(change.path) != change.before:
        raise SetupError(f"{change.path} has changed in the meantime; run this again")
    path = Path(os.path.realpath(change.path))
    try:
        if change.after is None:
            path.unlink(missing_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        if change.before is None:
            write_atomically(path, change.after.encode("utf-8"), mode=0o644)
            return None
        mode = stat.S_IMODE(path.stat().st_mode)
        backup = _backup_name(path)
        write_atomically(backup, change.before.encode("utf-8"), mode=mode)
        write_atomically(path, change.after.encode("utf-8"), mode=mode)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror or error}") from error
    return backup


def _backup_name(path: Path) -> Path:
    """Return a name beside `path` that is free; older backups are kept."""
    for number in range(1, MAX_BACKUPS + 1):
        backup = path.with_name(f"{path.name}.before-foretype{'' if number == 1 else f'-{number}'}")
        if not os.path.lexists(backup):
            return backup
    raise SetupError(f"{path.parent} holds {MAX_BACKUPS} backups of {path.name}; remove some")


def with_block(text: str, comment: str, body: str) -> str:
    """Return `text` with our block in place of an older one, or at the end."""
    if _is_crlf(text):
        return with_block(text.replace("\r\n", "\n"), comment, body).replace("\n", "\r\n")
    if (parts := _around_block(text, comment)) is not None:
        return parts[0] + _block(comment, body) + parts[1]
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    return text + gap + _block(comment, body)


def without_block(text: str, comment: str) -> str:
    """Return `text` less our block, and the empty line that `with_block` put before it."""
    if _is_crlf(text):
        return without_block(text.replace("\r\n", "\n"), comment).replace("\n", "\r\n")
    parts = _around_block(text, comment)
    if parts is None:
        return text
    head, tail = parts
    return head + tail if tail or not head.endswith("\n\n") else head[:-1]


def _block(comment: str, body: str) -> str:
    return f"{comment} {START}\n{body.rstrip()}\n{comment} {END}\n"


def _around_block(text: str, comment: str) -> tuple[str, str] | None:
    """Return what stands before and after our block, None if there is no whole one."""
    head, found, rest = text.partition(f"{comment} {START}\n")
    _, closed, tail = rest.partition(f"{comment} {END}\n")
    return (head, tail) if found and closed else None


def _is_crlf(text: str) -> bool:
    return 0 < text.count("\n") == text.count("\r\n")
