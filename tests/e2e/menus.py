"""What completion by menu must do, in editors that have no inline completion of the protocol.

The server then answers `textDocument/completion` too (option `menu_completion`). Each behaviour
drives a `MenuEditor` against the server of `storyteller`. Knows no editor.
"""

import time
from typing import Protocol

from tests.e2e.conformance import Behaviour
from tests.e2e.neovim import wait_for
from tests.e2e.storyteller import CALL, SECOND, WIDE, checksum

START = b"import os\n"
WAIT_S = 60.0


class MenuEditor(Protocol):
    """An editor in a terminal, its cursor in insert mode at the end of the file."""

    def fresh(self, name: str, content: bytes) -> None:
        """Write a new file and open it."""

    def type(self, text: str) -> None:
        """Press the keys of `text`, one after another."""

    def press(self, action: str) -> None:
        """ask, first (choose the first entry and take it), dismiss or undo."""

    def screen(self) -> str:
        """What the terminal shows."""

    def saved(self) -> bytes:
        """Save, and return the file."""


def see(editor: MenuEditor, entry: str) -> None:
    try:
        wait_for(lambda: entry in editor.screen(), f"entry {entry!r}", WAIT_S, pause_s=0.1)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{editor.screen()}") from None


def see_no(editor: MenuEditor, entry: str) -> None:
    wait_for(lambda: entry not in editor.screen(), f"screen without {entry!r}", 20, pause_s=0.1)


def take(editor: MenuEditor, entry: str) -> None:
    see(editor, entry)
    time.sleep(0.3)  # a menu that is drawn again at this moment would miss the key
    editor.press("first")


def appears(editor: MenuEditor) -> None:
    editor.fresh("appears.py", START)
    editor.type("x = fo")
    see(editor, CALL)


def asked(editor: MenuEditor) -> None:
    editor.fresh("asked.py", START)
    editor.type("x = ")
    editor.press("ask")
    see(editor, CALL)
    see(editor, SECOND)


def accepted(editor: MenuEditor) -> None:
    editor.fresh("accepted.py", START)
    editor.type("x = fo")
    take(editor, CALL)
    assert editor.saved() == START + f"x = {CALL}\n".encode()


def typed_along(editor: MenuEditor) -> None:
    editor.fresh("along.py", START)
    editor.type("x = fo")
    see(editor, CALL)
    editor.type("ob")
    take(editor, CALL)
    assert editor.saved() == START + f"x = {CALL}\n".encode()


def diverging(editor: MenuEditor) -> None:
    editor.fresh("diverging.py", START)
    editor.type("x = fo")
    see(editor, CALL)
    editor.type("zz")
    see_no(editor, CALL)
    assert editor.saved() == START + b"x = fozz\n"


def dismissed(editor: MenuEditor) -> None:
    editor.fresh("dismissed.py", START)
    editor.type("x = fo")
    see(editor, CALL)
    editor.press("dismiss")
    see_no(editor, CALL)
    assert editor.saved() == START + b"x = fo\n"


def synchronised(editor: MenuEditor, name: str, content: bytes, typed: str) -> None:
    """Compare the server's document with the editor's, and the file with both."""
    editor.fresh(name, content)
    editor.type(typed + "sync = crc")
    before = content.decode().replace("\r\n", "\n") + typed + "sync = "
    take(editor, checksum(before))
    eol = "\r\n" if b"\r\n" in content else "\n"
    expected = (before + checksum(before) + "\n").replace("\n", eol)
    assert editor.saved().decode() == expected


def crlf(editor: MenuEditor) -> None:
    synchronised(editor, "crlf.py", b"import os\r\nimport sys\r\n", "y = 1; ")


def tabs(editor: MenuEditor) -> None:
    synchronised(editor, "tabs.py", b"def f():\n\tx = 1\n\ty = '\t'; ", "")


def beyond_ascii(editor: MenuEditor) -> None:
    content = "naïve = '😀🦊'  # ∀ x\n".encode()
    synchronised(editor, "wide.py", content, "a = 'é😀'; ")
    editor.fresh("wide_text.py", content)
    editor.type("wide = ")
    editor.press("ask")
    take(editor, WIDE[:6])
    assert editor.saved() == content + f"wide = {WIDE}\n".encode()


MENU_BEHAVIOURS = [
    Behaviour("an entry in the menu while a word is typed", appears),
    Behaviour("several entries, asked for with no word typed", asked),
    Behaviour("accept, and the file on disk", accepted),
    Behaviour("typing along doubles nothing", typed_along),
    Behaviour("another key takes the entry away", diverging),
    Behaviour("dismiss", dismissed),
    Behaviour("CRLF file", crlf),
    Behaviour("tabs", tabs),
    Behaviour("beyond ASCII, astral plane", beyond_ascii),
]
