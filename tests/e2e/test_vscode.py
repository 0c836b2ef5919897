"""A person's keystrokes in a real VS Code: the .vsix, ghost text, Tab, and the file on disk.

Needs what scripts/setup-vscode fetches, in .venv/vscode or where FORETYPE_VSCODE says, and
Chromium. Skips with the reason where they are missing, unless FORETYPE_REQUIRE_VSCODE is set.
FORETYPE_PICTURES names a folder for screenshots.
"""

import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance import BEHAVIOURS, Behaviour, UnsupportedError, judge
from tests.e2e.neovim import wait_for
from tests.e2e.offline import without_network
from tests.e2e.vscode import Programs, VSCode, find_programs

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "editors" / "vscode"
BUNDLED = ROOT / "model" / "bundled"
# Read before the fixtures take these variables away.
FOLDER = Path(os.environ.get("FORETYPE_VSCODE") or ROOT / ".venv" / "vscode")
MUST_HAVE = bool(os.environ.get("FORETYPE_REQUIRE_VSCODE"))
PICTURES = os.environ.get("FORETYPE_PICTURES")
RESULTS = os.environ.get("FORETYPE_RESULTS")

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

SOURCE = """\
class Box:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width * self.height

    def volume(self, depth):
"""
TYPED = "        return self.width "
KEYS = {
    "accept": "Tab",
    "word": "Control+ArrowRight",
    "line": "Control+Alt+ArrowRight",  # bound below: VS Code has no key for it
    "next": "Alt+]",
    "previous": "Alt+[",
    "dismiss": "Escape",
    "leave": "Escape",
    "undo": "Control+z",
    "left": "ArrowLeft",
    "right": "ArrowRight",
    "back": "Backspace",
}
BINDINGS = (
    '[{"key": "ctrl+alt+right", "command": "editor.action.inlineSuggest.acceptNextLine"},'
    ' {"key": "ctrl+alt+n", "command": "workbench.action.files.newUntitledFile",'
    ' "args": {"languageId": "python"}}]'
)
COMPLAINTS = """[...document.querySelectorAll(
    '.notification-toast .notification-list-item-message')]
  .map((e) => e.textContent).join('; ')"""


@pytest.fixture(scope="module")
def programs() -> Programs:
    found = find_programs(FOLDER)
    vsix = sorted(EXTENSION.glob("*.vsix"))
    if isinstance(found, Programs) and vsix:
        return found
    reason = found if isinstance(found, str) else "no .vsix (editors/vscode/package makes it)"
    if MUST_HAVE:
        pytest.fail(reason)
    pytest.skip(reason)


def write_program(place: Path, *command: str) -> Path:
    """A program of the kind that the setting `foretype.path` names."""
    path = place / "foretype"
    lines = "\n".join(command)
    path.write_text(f"#!/bin/sh\ncd '{ROOT}'\n{lines}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


OpenWindow = Callable[[Path], VSCode]


@pytest.fixture(scope="module")
def open_window(
    programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenWindow]:
    windows: list[VSCode] = []

    def start(program: Path) -> VSCode:
        (vsix,) = EXTENSION.glob("*.vsix")
        place = tmp_path_factory.mktemp("vscode")
        machine = {"foretype.path": str(program), "foretype.show": "eager"}
        windows.append(VSCode(programs, place, vsix=vsix, machine=machine, bindings=BINDINGS))
        return windows[-1]

    yield start
    for window in windows:
        window.close()


class InVSCode:
    """VS Code as the conformance suite drives it."""

    def __init__(self, window: VSCode) -> None:
        self._window = window
        self._file = window.folder / "first.py"
        self._file.write_bytes(b"first = 1\n")
        window.open(self._file, both=True)
        wait_for(lambda: "ready" in window.status(), "a ready server", 120)

    def fresh(self, name: str, content: bytes) -> None:
        self._begin(self._window.folder / name, content)

    def second(self, name: str, content: bytes) -> None:
        self._begin(self._window.other / name, content)

    def speak(self, encoding: str) -> None:
        if encoding != "utf-16":
            raise UnsupportedError("this editor speaks utf-16 only")

    def _begin(self, file: Path, content: bytes) -> None:
        self._file = file
        self._file.write_bytes(content)
        self._show(file)
        self._window.page.press("Control+End")

    def _show(self, file: Path) -> None:
        window, name = self._window, file.name
        for _ in range(3):  # its index of files may not have met a new one yet
            window.quick_open(file)
            try:
                wait_for(lambda: window.title() == name, f"{name} in front", 8)
                break
            except AssertionError:
                window.page.press("Escape")
        else:
            raise AssertionError(f"{name} could not be opened; in front is {window.title()}")
        wait_for(window.is_editing, "cursor in the editor")

    def untitled(self) -> None:
        self._window.page.press("Control+Alt+n")
        wait_for(lambda: self._window.title().startswith("Untitled"), "a new editor")
        time.sleep(5)  # VS Code does not ask for a document that its extensions have not met
        wait_for(self._window.is_editing, "cursor in the editor")

    def read_only(self, name: str, content: bytes) -> None:
        self._file = self._window.folder / name
        self._file.write_bytes(content)
        self._file.chmod(0o444)
        self._show(self._file)
        self._window.page.press("Control+End")

    def type(self, text: str) -> None:
        self._window.page.type(text, pause_s=0.02)

    def press(self, action: str) -> None:
        self._window.page.press(KEYS[action])

    def ghost(self) -> str:
        return self._window.ghost()

    def text(self) -> str:
        return self._window.text()

    def saved(self) -> bytes:
        self._window.save(self._file)
        return self._file.read_bytes()

    def complaints(self) -> str:
        return str(self._window.page.evaluate(COMPLAINTS))


@pytest.fixture(scope="module")
def scripted(open_window: OpenWindow, tmp_path_factory: pytest.TempPathFactory) -> InVSCode:
    command = shlex.join([*without_network(), sys.executable, "-m", "tests.e2e.storyteller"])
    program = write_program(tmp_path_factory.mktemp("program"), "shift", f'exec {command} "$@"')
    return InVSCode(open_window(program))


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.title)
def test_vscode_conforms(
    scripted: InVSCode, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    if RESULTS:
        monkeypatch.setenv("FORETYPE_RESULTS", RESULTS)
    if (reason := judge(behaviour, "VS Code", scripted)) is not None:
        pytest.skip(reason)


def take_picture(window: VSCode, name: str) -> None:
    if PICTURES:
        time.sleep(1)  # the caret blinks, the minimap settles
        (Path(PICTURES) / name).write_bytes(window.page.picture((0, 0, 760, 330)))


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this checkout has no bundled model")
def test_bundled_model_completes_a_line_that_is_then_on_disk(
    open_window: OpenWindow, shared_cache: Path, tmp_path: Path
) -> None:
    program = write_program(tmp_path, f"exec '{sys.executable}' foretype.py \"$@\"")
    window = open_window(program)
    file = window.folder / "box.py"
    file.write_text(SOURCE, encoding="utf-8")
    window.open(file)
    wait_for(lambda: "ready" in window.status(), "a ready server", 180)
    window.page.press("Control+b")  # the side bar goes
    window.page.press("Control+End")
    window.page.type(TYPED)
    ghost = window.wait_for_ghost(seconds=60)
    assert re.search(r"\d ms\|", window.status())
    take_picture(window, "vscode-ghost.png")
    assert file.read_text(encoding="utf-8") == SOURCE
    window.page.press("Tab")
    expected = SOURCE + TYPED + ghost
    wait_for(lambda: window.text() == expected, f"text with {ghost!r}", 20)
    assert window.save(file, expected) == expected
    take_picture(window, "vscode-accepted.png")

    window.command("foretype: Toggle Suggestions")
    wait_for(lambda: "switched off" in window.status(), "the state in the status bar")
    window.command("foretype: Toggle Suggestions")
    wait_for(lambda: "ready" in window.status(), "a ready server", 180)
    window.command("foretype: Menu")
    wait_for(lambda: "Run doctor" in window.picks(), "the menu")
    take_picture(window, "vscode-menu.png")
    window.page.press("Escape")
