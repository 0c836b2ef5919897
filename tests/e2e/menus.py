"""What completion by menu must do, in editors that have no inline completion of the protocol.

The server then answers `textDocument/completion` too (option `menu_completion`). Each behaviour
drives a `MenuEditor` against the product's own server and model. Knows no editor.
"""

import time
from typing import Protocol

from tests.e2e.conformance import CALL, WIDE, Behaviour
from tests.e2e.conformance import CODE as LINES
from tests.waiting import wait_for

CODE = LINES + "pass\n" * 30  # what is on the screen comes from the menu
START = CODE.encode()

ENTRY = CALL[:16]  # what a narrow menu shows of it
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


def begin(editor: MenuEditor, name: str) -> None:
    """Type the beginning of the call in a new file, and see the entry."""
    editor.fresh(name, START)
    editor.type("result = vo")
    see(editor, ENTRY)


def appears(editor: MenuEditor) -> None:
    begin(editor, "appears.py")


def asked(editor: MenuEditor) -> None:
    editor.fresh("asked.py", START)
    editor.type("result = ")
    editor.press("ask")
    take(editor, ENTRY)
    assert editor.saved() == START + f"result = {CALL}\n".encode()


def accepted(editor: MenuEditor) -> None:
    on_disk(editor, "accepted.py", CODE, "")


def typed_along(editor: MenuEditor) -> None:
    begin(editor, "along.py")
    editor.type("lu")
    take(editor, ENTRY)
    assert editor.saved() == START + f"result = {CALL}\n".encode()


def diverging(editor: MenuEditor) -> None:
    begin(editor, "diverging.py")
    editor.type("zz")
    see_no(editor, ENTRY)
    assert editor.saved() == START + b"result = vozz\n"


def dismissed(editor: MenuEditor) -> None:
    begin(editor, "dismissed.py")
    editor.press("dismiss")
    see_no(editor, ENTRY)
    assert editor.saved() == START + b"result = vo\n"


def on_disk(editor: MenuEditor, name: str, content: str, typed: str, end: str = CALL) -> None:
    """Type, take what is offered, and compare the file with what must be in it."""
    editor.fresh(name, content.encode())
    line = "spoken = " if end == WIDE else "result = "
    editor.type(f"{typed}{line}{end[:4]}")
    take(editor, end[:6])
    eol = "\r\n" if "\r\n" in content else "\n"
    assert editor.saved().decode() == f"{content}{typed}{line}{end}{eol}"


def crlf(editor: MenuEditor) -> None:
    on_disk(editor, "crlf.py", CODE.replace("\n", "\r\n"), "")


def tabs(editor: MenuEditor) -> None:
    on_disk(editor, "tabs.py", CODE.replace("    ", "\t") + "y\t= 2\n", "")


def beyond_ascii(editor: MenuEditor) -> None:
    on_disk(editor, "wide.py", CODE, "", WIDE)


MENU_BEHAVIOURS = [
    Behaviour("an entry in the menu while a word is typed", appears),
    Behaviour("an entry, asked for with no word typed", asked),
    Behaviour("accept, and the file on disk", accepted),
    Behaviour("typing along doubles nothing", typed_along),
    Behaviour("another key takes the entry away", diverging),
    Behaviour("dismiss", dismissed),
    Behaviour("CRLF file", crlf),
    Behaviour("tabs", tabs),
    Behaviour("beyond ASCII, astral plane", beyond_ascii),
]
