"""A newcomer in VS Code: makes the .vsix, lets the extension install its server, and types.

Clicks what a person would click, in a real VS Code; knows its buttons by their words.
"""

import os
import re
import subprocess
from pathlib import Path

from tests.benchmarks.newcomer import PATIENCE_S, SOURCE, TYPED, Clock
from tests.e2e.vscode import VSCode, find_programs
from tests.waiting import wait_for

INSTALL_S = 1_800.0


def follow(place: Path, clone: Path, vscode: Path, clock: Clock) -> str:
    """Take the steps; return the grey text."""
    programs = find_programs(vscode)
    if isinstance(programs, str):
        raise SystemExit(programs)
    # No server from elsewhere may be found.
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if not Path(folder, "foretype").exists()]
    os.environ["PATH"] = os.pathsep.join(kept)
    with clock.step("editors/vscode/package"):
        package = [str(clone / "editors" / "vscode" / "package")]
        subprocess.run(package, check=True, stdout=subprocess.DEVNULL)
    (vsix,) = (clone / "editors" / "vscode").glob("*.vsix")
    window: VSCode | None = None
    try:
        with clock.step("VS Code starts, with the extension"):
            window = VSCode(programs, place / "vscode", vsix=vsix, machine={})
            file = window.folder / "basket.py"
            file.write_text(SOURCE, encoding="utf-8")
            window.open(file)
            window.click_button(".notification-toast", "Install...", PATIENCE_S)
        with clock.step("the extension installs the server"):
            window.click_button(".monaco-dialog-box", "Install", PATIENCE_S)
            wait_for(lambda: ", ready" in window.status(), "a ready server", INSTALL_S, pause_s=0.5)
        with clock.step("grey text in VS Code"):
            return _type(window)
    finally:
        if window is not None:
            window.close()


def _type(window: VSCode) -> str:
    window.focus()
    window.page.press("Control+End")
    window.page.type(TYPED)

    def look() -> str | None:
        if not (ghost := window.ghost()):
            window.page.type(" ")  # a person goes on typing while the model loads
            window.page.press("Backspace")
        return ghost or None

    return re.sub(r"\s+", " ", wait_for(look, "grey text", PATIENCE_S, pause_s=5.0))
