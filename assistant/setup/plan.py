"""What setting up one editor comes to: lines for a person to read, or a change to a file."""

from dataclasses import dataclass
from pathlib import Path

from assistant.setup.change import Change

START, END = ">>> foretype >>>", "<<< foretype <<<"


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupPlan:
    """How one editor is made to start foretype."""

    editor: str
    path: Path  # the file in which the lines belong
    lines: str
    change: Change | None = None  # None: it is done already, or a person has to do it
    done: bool = False  # the file starts foretype already
    reason: str = ""  # why there is no change
    notes: tuple[str, ...] = ()  # what else is needed, a sentence each


def block(comment: str, body: str) -> str:
    """Return `body` between two marks, by which it is found again."""
    return f"{comment} {START}\n{body.rstrip()}\n{comment} {END}\n"


def with_block(text: str, comment: str, body: str) -> str:
    """Return `text` with our block in place of an older one, or at the end."""
    if _is_crlf(text):
        return with_block(text.replace("\r\n", "\n"), comment, body).replace("\n", "\r\n")
    if (parts := _around_block(text, comment)) is not None:
        return parts[0] + block(comment, body) + parts[1]
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    return text + gap + block(comment, body)


def without_block(text: str, comment: str) -> str:
    """Return `text` less our block."""
    if _is_crlf(text):
        return without_block(text.replace("\r\n", "\n"), comment).replace("\n", "\r\n")
    parts = _around_block(text, comment)
    return text if parts is None else "".join(parts)


def _around_block(text: str, comment: str) -> tuple[str, str] | None:
    """Return what stands before and after our block, None if there is no whole one."""
    head, found, rest = text.partition(f"{comment} {START}\n")
    _, closed, tail = rest.partition(f"{comment} {END}\n")
    return (head, tail) if found and closed else None


def _is_crlf(text: str) -> bool:
    return 0 < text.count("\n") == text.count("\r\n")
