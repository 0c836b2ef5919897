"""A person's keystrokes in a real VS Code: the .vsix, ghost text, Tab, and the file on disk.

Needs what scripts/setup-vscode fetches, in .venv/vscode or where FORETYPE_VSCODE says, and
Chromium. Skips with the reason where they are missing, unless FORETYPE_REQUIRE_VSCODE is set.
FORETYPE_PICTURES names a folder for screenshots.
"""

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from assistant.counts import read
from assistant.models.registry import Registry, repository_id
from tests.e2e.behaviours import BEHAVIOURS
from tests.e2e.conformance import (
    CALL,
    SOURCE,
    START,
    Behaviour,
    UnsupportedError,
    furnish,
    judge,
)
from tests.e2e.served import ServerProgram
from tests.e2e.vscode import Programs, VSCode, find_programs
from tests.own_models import added
from tests.programs import ROOT
from tests.repositories import commit_files, plain_git
from tests.scripted import speaking_folder
from tests.waiting import wait_for

EXTENSION = ROOT / "editors" / "vscode"
BUNDLED = ROOT / "model" / "bundled" / "python"
# Read before the fixtures take these variables away.
FOLDER = Path(os.environ.get("FORETYPE_VSCODE") or ROOT / ".venv" / "vscode")
MUST_HAVE = bool(os.environ.get("FORETYPE_REQUIRE_VSCODE"))
PICTURES = os.environ.get("FORETYPE_PICTURES")
RESULTS = os.environ.get("FORETYPE_RESULTS")

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

TYPED = "        return self.width "
KEYS = {
    "accept": "Tab",
    "word": "Control+ArrowRight",
    "line": "Control+Alt+ArrowRight",
    "ask": "Alt+\\",
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
    '[{"key": "ctrl+alt+n", "command": "workbench.action.files.newUntitledFile",'
    ' "args": {"languageId": "python"}},'
    ' {"key": "ctrl+alt+t", "command": "editor.action.inlineSuggest.commit"}]'
)
# What is not the language server is done by the shell: the doctor and tuning need no second window.
OTHERS = """\
case $1 in
  tune) echo "$PWD $*" >noted; echo no torch here; exit 3 ;;
  doctor) export FORETYPE_MODEL=/nowhere ;;
esac
"""
TRUST = {
    "security.workspace.trust.enabled": True,
    "security.workspace.trust.startupPrompt": "never",
}
OWN = "own-20260102-1"


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
    path.write_text(f"#!/bin/sh\nhere=$PWD\ncd '{ROOT}'\n{lines}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class OpenWindow(Protocol):
    """Starts a window on a folder of its own, with this program as its server."""

    def __call__(self, program: Path | None, **settings: Any) -> VSCode: ...


@pytest.fixture(scope="module")
def open_window(
    programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenWindow]:
    windows: list[VSCode] = []

    def start(program: Path | None, **settings: Any) -> VSCode:
        (vsix,) = EXTENSION.glob("*.vsix")
        place = tmp_path_factory.mktemp("vscode")
        machine = {} if program is None else {"foretype.path": str(program)}
        window = VSCode(
            programs, place, vsix=vsix, machine=machine, bindings=BINDINGS, settings=settings
        )
        windows.append(window)
        return windows[-1]

    yield start
    for window in windows:
        window.close()


class InVSCode:
    """VS Code as the conformance suite drives it."""

    def __init__(self, window: VSCode, server: ServerProgram) -> None:
        self.window, self.server = window, server
        furnish(server, first=window.folder, second=window.other)
        self._file = window.folder / "first.py"
        self._file.write_bytes(b"first = 1\n")
        window.open(self._file, both=True)
        wait_for(lambda: ", ready" in window.status(), "a ready server", 120)

    def fresh(self, name: str, content: bytes) -> None:
        self._begin(self.window.folder / name, content)

    def second(self, name: str, content: bytes) -> None:
        self._begin(self.window.other / name, content)

    def speak(self, encoding: str) -> None:
        if encoding != "utf-16":
            raise UnsupportedError("this editor speaks utf-16 only")

    def _begin(self, file: Path, content: bytes) -> None:
        self._file = file
        self._file.write_bytes(content)
        self._show(file)
        self.window.page.press("Control+End")

    def _show(self, file: Path) -> None:
        window, name = self.window, file.name
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
        self.window.page.press("Control+Alt+n")
        wait_for(lambda: self.window.title().startswith("Untitled"), "a new editor")
        time.sleep(5)  # VS Code does not ask for a document that its extensions have not met
        wait_for(self.window.is_editing, "cursor in the editor")

    def read_only(self, name: str, content: bytes) -> None:
        self._file = self.window.folder / name
        self._file.write_bytes(content)
        self._file.chmod(0o444)
        self._show(self._file)
        self.window.page.press("Control+End")

    def type(self, text: str) -> None:
        self.window.page.type(text, pause_s=0.02)

    def press(self, action: str) -> None:
        is_indented = action == "accept" and self.ghost().startswith("    ")  # there Tab indents
        self.window.page.press("Control+Alt+t" if is_indented else KEYS[action])

    def ghost(self) -> str:
        return self.window.ghost()

    def text(self) -> str:
        return self.window.text()

    def saved(self) -> bytes:
        self.window.save(self._file)
        return self._file.read_bytes()

    def complaints(self) -> str:
        return self.window.complaints()


@pytest.fixture(scope="module")
def scripted(
    open_window: OpenWindow, tmp_path_factory: pytest.TempPathFactory, _shared_cache_folder: Path
) -> InVSCode:
    server = ServerProgram(tmp_path_factory.mktemp("program"), _shared_cache_folder, others=OTHERS)
    return InVSCode(open_window(server.path), server)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.title)
def test_vscode_conforms(
    scripted: InVSCode, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    if RESULTS:
        monkeypatch.setenv("FORETYPE_RESULTS", RESULTS)
    if (reason := judge(behaviour, "VS Code", scripted)) is not None:
        pytest.skip(reason)


def test_doctor_shows_what_it_found_and_how_it_is_mended(scripted: InVSCode) -> None:
    window = scripted.window
    window.command("foretype: Run Doctor")
    wait_for(lambda: window.title() == "foretype doctor.txt", "the report", 400)
    report = wait_for(lambda: text if " checked." in (text := window.text()) else None, "its end")
    assert re.search(r"^ok +program +/\S+/foretype$", report, re.M), report
    assert re.search(r"^ok +server +ready", report, re.M), report
    assert re.search(r"^broken +model .+/nowhere.*\n +-> .+", report, re.M), report
    take_picture(window, "vscode-doctor.png")
    window.command("foretype: Statistics")
    wait_for(lambda: window.text().startswith("In the last 30 days"), "the statistics", 60)


def test_tune_runs_in_a_terminal_in_the_folder_and_a_fault_is_told(scripted: InVSCode) -> None:
    window = scripted.window
    window.command("foretype: Tune a Model on This Repository")
    window.pick("second")  # of the two folders
    window.pick("Show the plan")
    noted = window.other / "noted"
    wait_for(noted.exists, "a run of `foretype tune`", 120)
    wait_for(lambda: "no torch here" in window.terminal(), "what it says, in the terminal", 60)
    assert noted.read_text(encoding="utf-8") == f"{window.other} tune --dry-run {window.other}\n"
    wait_for(lambda: "PyTorch is missing" in window.complaints(), "a notification", 60)


def test_folder_that_is_not_trusted_gets_suggestions_but_is_not_tuned_on(
    open_window: OpenWindow, tmp_path: Path, _shared_cache_folder: Path
) -> None:
    server = ServerProgram(tmp_path, _shared_cache_folder, others=OTHERS)
    window = open_window(server.path, **TRUST)
    file = window.folder / "strange.py"
    file.write_bytes(START)
    window.open(file)
    wait_for(lambda: ", ready" in window.status(), "a ready server", 180)
    window.page.press("Control+End")
    window.page.type("result = vo")
    window.wait_for_ghost(CALL[2:], 60)
    window.command("foretype: Tune a Model on This Repository")
    wait_for(lambda: "only on folders that you trust" in window.complaints(), "a refusal", 60)
    assert "Show the plan" not in window.picks()
    assert not (window.folder / "noted").exists()


def test_menu_says_why_and_shows_less(scripted: InVSCode) -> None:
    window = scripted.window
    scripted.fresh("why.py", START)
    scripted.type("unheard_of = ")
    for name in ("quiet", "balanced"):
        window.command("foretype: Show More or Less")
        window.pick(name)
        wait_for(lambda: ", ready" in window.status(), "a ready server", 120)

    def is_told() -> bool:  # asked again: right after a change of settings the model is loading
        window.command("foretype: Why Nothing Here?")
        time.sleep(1)
        return "shown from" in window.complaints()

    wait_for(is_told, "the reason", 60)
    take_picture(window, "vscode-why.png", whole=True)
    window.command("Notifications: Clear All Notifications")


def take_picture(window: VSCode, name: str, *, whole: bool = False) -> None:
    if PICTURES:
        time.sleep(1)  # the caret blinks, the minimap settles
        picture = window.page.picture(None if whole else (0, 0, 760, 330))
        (Path(PICTURES) / name).write_bytes(picture)


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this checkout has no bundled model")
def test_bundled_model_completes_a_line_that_is_then_on_disk(
    open_window: OpenWindow, shared_cache: Path, tmp_path: Path
) -> None:
    program = write_program(tmp_path, f"exec '{sys.executable}' foretype.py \"$@\"")
    window = open_window(program)
    plain_git(window.folder, "init", "-q")
    commit_files(window.folder, {"box.py": SOURCE})
    # How long the text is depends on what the index has read.
    subprocess.run([program, "index", "build", window.folder], check=True, capture_output=True)
    own = repository_id(window.folder)
    added(Registry(), speaking_folder(tmp_path), OWN, repository=own)
    file = window.folder / "box.py"
    window.open(file)
    wait_for(lambda: ", ready" in window.status(), "a ready server", 180)
    window.page.press("Control+b")  # the side bar goes
    window.page.press("Control+End")
    window.page.type(TYPED)
    ghost = window.wait_for_ghost(seconds=60)
    wait_for(lambda: re.search(r"\d ms\|", window.status()), "the time in the status bar", 60)
    take_picture(window, "vscode-ghost.png")
    assert file.read_text(encoding="utf-8") == SOURCE
    window.page.press("Tab")
    expected = SOURCE + TYPED + ghost
    wait_for(lambda: window.text() == expected, f"text with {ghost!r}", 20)
    assert window.save(file, expected) == expected
    take_picture(window, "vscode-accepted.png")
    wait_for(lambda: any(name == "whole" for *_, name, _ in read()), "a count of the take", 90)

    window.command("foretype: Toggle Suggestions")
    wait_for(lambda: "switched off" in window.status(), "the state in the status bar")
    window.command("foretype: Toggle Suggestions")
    wait_for(lambda: ", ready" in window.status(), "a ready server", 180)
    window.command("foretype: Menu")
    wait_for(lambda: "Run doctor" in window.picks(), "the menu")
    take_picture(window, "vscode-menu.png")
    window.page.press("Escape")
    for name, shown in ((OWN, f"model: {OWN}, your own"), ("Base model", "model: foretype-")):
        window.command("foretype: Select Model")
        window.pick(name)
        wait_for(lambda: shown in window.status(), shown, 120)  # noqa: B023
