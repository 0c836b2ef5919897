"""What inline completion must do in every editor, as steps that a person would take.

Each behaviour drives an `Editor` against the server of `storyteller`. Knows no editor.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.e2e.neovim import wait_for
from tests.e2e.offline import without_network
from tests.e2e.storyteller import BLOCK, BRACKETED, CALL, OFFLINE, SECOND, SLOW_S, WIDE, checksum

SETTLE_S = 0.8  # longer than any editor waits before it asks
START = b"import os\n"


class UnsupportedError(Exception):
    """The editor has no such thing; the text says so to readers of the table."""


class Editor(Protocol):
    """An editor with one window, its cursor in insert mode at the end of the file."""

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
        """accept, word, line, next, previous, dismiss, undo, left, right, back or leave."""

    def ghost(self) -> str:
        """What is suggested now, "" if nothing."""

    def text(self) -> str:
        """The buffer, LF between lines, without the suggestion."""

    def saved(self) -> bytes:
        """Save, and return the file."""

    def complaints(self) -> str:
        """Errors that the user sees."""


def see(editor: Editor, ghost: str) -> None:
    """Wait for this very suggestion."""
    seen: list[str] = []

    def look() -> bool:
        seen[:] = [editor.ghost()]
        return seen == [ghost]

    try:
        wait_for(look, f"ghost text {ghost!r}", 30)
    except AssertionError as error:
        told = f"there is {seen[0]!r} after {editor.text()[-80:]!r}, and {editor.complaints()}"
        raise AssertionError(f"{error}; {told}") from None


def holds(editor: Editor, end: str) -> None:
    """Wait until the buffer ends like this."""
    try:
        wait_for(lambda: editor.text().rstrip("\n").endswith(end), f"text {end!r}", 15)
    except AssertionError as error:
        raise AssertionError(f"{error}; there is {editor.text()[-200:]!r}") from None


def appears(editor: Editor) -> None:
    editor.fresh("appears.py", START)
    editor.type("x = ")
    see(editor, CALL)
    assert editor.text().rstrip("\n").endswith("x = ")


def typed_along(editor: Editor) -> None:
    editor.fresh("along.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.type("foo")
    see(editor, CALL[3:])
    editor.press("accept")
    holds(editor, f"x = {CALL}")


def typed_along_and_accepted_at_once(editor: Editor) -> None:
    editor.fresh("at_once.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.type("fo")
    editor.press("accept")
    holds(editor, f"x = {CALL}")


def diverging(editor: Editor) -> None:
    editor.fresh("diverging.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.type("z")
    see(editor, "")
    editor.press("leave")
    assert editor.text().rstrip("\n").endswith("x = z")


def slow_and_old(editor: Editor) -> None:
    editor.fresh("slow.py", START)
    editor.type("slow = ")
    time.sleep(0.5)  # asked, not yet answered
    editor.type("y")
    see(editor, "es_new")
    time.sleep(SLOW_S + 0.5)  # by now the old answer would have come
    assert editor.ghost() == "es_new"


def accepted(editor: Editor) -> None:
    editor.fresh("accepted.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.press("accept")
    holds(editor, f"x = {CALL}")
    assert editor.saved().rstrip(b"\n") == START + b"x = " + CALL.encode()


def accepted_by_word(editor: Editor) -> None:
    editor.fresh("word.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.press("word")
    holds(editor, "x = foobar")
    see(editor, CALL[6:])
    editor.press("accept")
    holds(editor, f"x = {CALL}")


def accepted_by_line(editor: Editor) -> None:
    editor.fresh("line.py", START + b"def f():")
    editor.type("\n")
    see(editor, BLOCK)
    editor.press("line")
    holds(editor, "    first()")


def several_lines(editor: Editor) -> None:
    editor.fresh("lines.py", START + b"def f():")
    editor.type("\n")
    see(editor, BLOCK)
    editor.press("accept")
    holds(editor, f"def f():\n    {BLOCK}")


def undone(editor: Editor) -> None:
    editor.fresh("undone.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.press("accept")
    holds(editor, f"x = {CALL}")
    editor.press("undo")
    wait_for(lambda: CALL not in editor.text(), "the text before accepting")
    assert editor.text().startswith("import os\n")


def cycled(editor: Editor) -> None:
    editor.fresh("cycled.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.press("next")
    see(editor, SECOND)
    editor.press("previous")
    see(editor, CALL)
    editor.press("next")
    see(editor, SECOND)
    editor.press("accept")
    holds(editor, f"x = {SECOND}")


def dismissed(editor: Editor) -> None:
    editor.fresh("dismissed.py", START)
    editor.type("x = ")
    see(editor, CALL)
    editor.press("dismiss")
    see(editor, "")
    time.sleep(SETTLE_S)
    assert editor.ghost() == ""


def bracketed(editor: Editor) -> None:
    editor.fresh("bracketed.py", START)
    editor.type("pair(")
    if not editor.text().rstrip("\n").endswith(")"):  # no brackets are closed by this editor
        editor.type(")")
        editor.press("left")
    wait_for(editor.ghost, "a suggestion")
    editor.press("accept")
    holds(editor, f"pair({BRACKETED}")


def synchronised(editor: Editor, name: str, content: bytes, typed: str) -> None:
    """Type, then compare the server's document with the editor's, and the file with both."""
    editor.fresh(name, content)
    editor.type(typed + "sync = ")
    before = content.decode().replace("\r\n", "\n") + typed + "sync = "
    see(editor, checksum(before))
    editor.press("accept")
    holds(editor, checksum(before))
    eol = "\r\n" if b"\r\n" in content else "\n"
    expected = (before + checksum(before)).replace("\n", eol)
    assert editor.saved().decode().rstrip("\r\n") == expected


def crlf(editor: Editor) -> None:
    synchronised(editor, "crlf.py", b"import os\r\nimport sys\r\n", "y = 1\n")
    editor.fresh("crlf_block.py", b"import os\r\ndef f():\r\n")
    editor.press("back")
    editor.type("\n")
    see(editor, BLOCK)
    editor.press("accept")
    holds(editor, f"def f():\n    {BLOCK}")
    assert b"first()\r\n    second()\r\n    third()" in editor.saved()


def tabs(editor: Editor) -> None:
    synchronised(editor, "tabs.py", b"def f():\n\tx = 1\n\ty = 2\n", "z = 3\n")


def beyond_ascii(editor: Editor, encoding: str) -> None:
    editor.speak(encoding)
    content = "naïve = '😀🦊'  # ∀ x\n".encode()
    synchronised(editor, f"wide_{encoding}.py", content, "a = 'é'; ")
    editor.fresh(f"wide_line_{encoding}.py", "s = '🦊😀'; wide".encode())
    editor.type(" = ")
    see(editor, WIDE)
    editor.press("accept")
    holds(editor, f"s = '🦊😀'; wide = {WIDE}")
    editor.fresh(f"wide_text_{encoding}.py", content)
    editor.type("wide = ")
    see(editor, WIDE)
    editor.press("accept")
    holds(editor, f"wide = {WIDE}")
    assert editor.saved().decode().rstrip("\n").endswith(f"wide = {WIDE}")


def form_feed(editor: Editor) -> None:
    synchronised(editor, "feed.py", b"a = 1\n\x0c\nb = 2\n", "c = 3\n")


def several_folders(editor: Editor) -> None:
    """The engine is told the short path in each: the server knows both folders."""
    editor.fresh("in_first.py", START)
    editor.type("where = ")
    see(editor, "in_first.py")
    editor.second("in_second.py", START)
    editor.type("where = ")
    see(editor, "in_second.py")
    editor.press("accept")
    holds(editor, "where = in_second.py")
    editor.fresh("in_first_again.py", START)
    editor.type("where = ")
    see(editor, "in_first_again.py")


def offline(editor: Editor) -> None:
    if not without_network():
        raise UnsupportedError("the machine of this run cannot take the network from a program")
    editor.fresh("offline.py", START)
    editor.type("net = ")
    see(editor, OFFLINE)


def read_only(editor: Editor) -> None:
    editor.read_only("readonly.py", START + b"x = ")
    time.sleep(SETTLE_S)
    assert editor.complaints() == ""
    assert editor.text().rstrip("\n") == "import os\nx = "


def untitled(editor: Editor) -> None:
    editor.untitled()
    editor.type("x = ")
    see(editor, CALL)
    editor.press("accept")
    holds(editor, f"x = {CALL}")


def many_documents(editor: Editor) -> None:
    for number in range(12):
        name = f"many_{number}.py"
        editor.fresh(name, b"n = %d\n" % number)
        if number in (0, 6, 11):
            editor.type("sync = ")
            see(editor, checksum(f"n = {number}\nsync = "))


def crash(editor: Editor) -> None:
    editor.fresh("crash.py", START)
    editor.type("crash = ")
    time.sleep(SETTLE_S)
    editor.fresh("after_crash.py", START)
    editor.type("x = ")
    for _ in range(30):  # until it has been started again, as a person would go on typing
        try:
            wait_for(editor.ghost, "a suggestion", 2)
            break
        except AssertionError:
            editor.type("f")
            editor.press("back")
    see(editor, CALL)


E = TypeVar("E", contravariant=True)


@dataclass(frozen=True, slots=True)
class Behaviour(Generic[E]):
    """A row of the table, for editors of one kind."""

    title: str
    run: Callable[[E], None]


BEHAVIOURS = [
    Behaviour("grey text appears", appears),
    Behaviour("typing along keeps it", typed_along),
    Behaviour(
        "typing along and accepting at once doubles nothing", typed_along_and_accepted_at_once
    ),
    Behaviour("another key clears it", diverging),
    Behaviour("a slow old answer does not replace a newer one", slow_and_old),
    Behaviour("accept, and the file on disk", accepted),
    Behaviour("accept a word", accepted_by_word),
    Behaviour("accept a line", accepted_by_line),
    Behaviour("several lines", several_lines),
    Behaviour("undo after accept", undone),
    Behaviour("next and previous suggestion", cycled),
    Behaviour("dismiss", dismissed),
    Behaviour("an auto-closed bracket is replaced", bracketed),
    Behaviour("CRLF file", crlf),
    Behaviour("tabs", tabs),
    *(
        Behaviour(
            f"beyond ASCII and the astral plane, positions in {encoding}",
            partial(beyond_ascii, encoding=encoding),
        )
        for encoding in ("utf-8", "utf-16", "utf-32")
    ),
    Behaviour("form feed", form_feed),
    Behaviour("read-only file", read_only),
    Behaviour("buffer without a file", untitled),
    Behaviour("many documents", many_documents),
    Behaviour("several workspace folders", several_folders),
    Behaviour("no network", offline),
    Behaviour("the server crashes and comes back", crash),
]


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
