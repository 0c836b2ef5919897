"""What inline completion must do in every editor, as steps that a person would take.

Each of `behaviours` drives an `Editor` against the product's own server and model. Knows no editor.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.e2e.served import ServerProgram
from tests.repositories import commit_files, plain_git
from tests.waiting import wait_for

HEAD = """\
import os


def volume(width, height, depth):
    total = width * height * depth
    print(total)
    return total


"""
CALL = "volume(width, height, depth)"  # after `result = `
OTHER = "perimeter(left, right)"  # after `border = `
WIDE = 'greet("é😀🦊")'  # after `spoken = g`
REPEATED = {"result": CALL, "border": OTHER, "spoken": WIDE}
# Often enough that all of a line is sure, and not only its beginning.
CODE = HEAD + "".join(
    "".join(f"{name} = {call}\nprint({name}, {n})\n" for n in range(1, 6)) + "\n"
    for name, call in REPEATED.items()
)
START = CODE.encode()
# A method is missing, and the bundled network knows what it returns.
SOURCE = """\
class Box:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width * self.height

    def volume(self, depth):
"""
# An argument added to one call is due in the others.
CALLS = """\
def load(url):
    data = fetch(url)
    other = 1
    data = fetch(url)
    data = fetch(url)
"""


LINES = """\
def report_{number}(alpha, beta):
    archive = summarise_{name}(alpha, beta)
    print(archive)
    return archive

"""


def furnish(server: ServerProgram, **folders: Path) -> None:
    """Make repositories, each with lines that tell its name, and index them."""
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        plain_git(folder, "init", "-q")
        lines = "".join(LINES.format(number=number, name=name) for number in range(4))
        # What the behaviours type stands there from the first on, not from when its file is read.
        commit_files(folder, {"reports.py": lines, "sample.py": CODE})
        server.run("index", "build", str(folder))


class UnsupportedError(Exception):
    """The editor has no such thing; the text says so to readers of the table."""


class Editor(Protocol):
    """An editor with one window, its cursor in insert mode at the end of the file."""

    server: ServerProgram

    def fresh(self, name: str, content: bytes) -> None:
        """Write a new file and open it."""

    def second(self, name: str, content: bytes) -> None:
        """The same in the second workspace folder."""

    def speak(self, encoding: str) -> None:
        """Count positions in this encoding from now on."""

    def untitled(self) -> None:
        """Open a new buffer of Python without a file."""

    def read_only(self, name: str, content: bytes) -> None:
        """Open a file that may not be changed."""

    def type(self, text: str) -> None:
        """Press the keys of `text`, one after another."""

    def press(self, action: str) -> None:
        """accept, word, line, ask, next, previous, dismiss, undo, left, right, back or leave."""

    def ghost(self) -> str:
        """What is suggested now, "" if nothing."""

    def text(self) -> str:
        """The buffer, LF between lines, without the suggestion."""

    def saved(self) -> bytes:
        """Save, and return the file."""

    def complaints(self) -> str:
        """Errors that the user sees."""


def see(editor: Editor, ghost: str, seconds: float = 30) -> None:
    """Wait for this very suggestion."""
    seen: list[str] = []

    def look() -> bool:
        seen[:] = [editor.ghost()]
        return seen == [ghost]

    try:
        wait_for(look, f"ghost text {ghost!r}", seconds)
    except AssertionError as error:
        told = f"there is {seen[0]!r} after {editor.text()[-80:]!r}, and {editor.complaints()}"
        raise AssertionError(f"{error}; {told}") from None


def see_what_is_sure(editor: Editor, text: str) -> None:
    """Wait for a beginning of `text`: how much is sure depends on what the index has read."""
    wait_for(lambda: (ghost := editor.ghost()) and text.startswith(ghost), f"part of {text!r}", 30)


def holds(editor: Editor, end: str) -> None:
    """Wait until the buffer ends like this."""
    try:
        wait_for(lambda: editor.text().rstrip("\n").endswith(end), f"text {end!r}", 15)
    except AssertionError as error:
        raise AssertionError(f"{error}; there is {editor.text()[-200:]!r}") from None


E = TypeVar("E", contravariant=True)


@dataclass(frozen=True, slots=True)
class Behaviour(Generic[E]):
    """A row of the table, for editors of one kind."""

    title: str
    run: Callable[[E], None]


def record(editor: str, title: str, outcome: str, table: str) -> None:
    """Note an outcome where FORETYPE_RESULTS says; scripts/conformance-table reads it."""
    if place := os.environ.get("FORETYPE_RESULTS"):
        row = {"table": table, "editor": editor, "behaviour": title, "outcome": outcome}
        with Path(place).open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def judge(
    behaviour: Behaviour[E], name: str, editor: E, *, table: str = "conformance"
) -> str | None:
    """Run a behaviour and note how it went; return why it is unsupported, None if it works."""
    outcome = "fails"
    try:
        behaviour.run(editor)
        outcome = "works"
    except UnsupportedError as error:
        outcome = str(error)
        return outcome
    finally:
        record(name, behaviour.title, outcome, table)
    return None
