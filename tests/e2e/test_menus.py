"""The behaviours of `menus` in a real Helix and a real Vim 9 with yegappan/lsp, in tmux.

Helix is what scripts/setup-helix unpacks, or on the PATH. FORETYPE_VIM_LSP names a checkout of
yegappan/lsp. What is missing is skipped with the reason.
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance import Behaviour, judge
from tests.e2e.menus import MENU_BEHAVIOURS
from tests.e2e.served import ServerProgram
from tests.programs import ROOT, run_program
from tests.waiting import wait_for

# Read before the fixtures take these variables away.
HELIX = Path(os.environ.get("FORETYPE_HELIX") or ROOT / ".venv" / "helix") / "root" / "usr"
VIM_LSP = os.environ.get("FORETYPE_VIM_LSP")
RESULTS = os.environ.get("FORETYPE_RESULTS")
CALL_S = 90.0
KEYS = {
    "Helix": {
        "last": ["g", "e"],
        "ask": ["C-x"],
        "first": ["C-n", "Enter"],
        "dismiss": ["C-c"],
        "save": ["Escape", ":w!", "Enter"],
    },
    "Vim 9": {
        "last": ["G"],
        "ask": ["C-x", "C-o"],
        "first": ["C-n", "C-y"],
        "dismiss": ["C-e"],
        "save": ["Escape", ":w!", "Enter"],
    },
}
LANGUAGES = """\
[language-server.foretype]
command = "{program}"
args = ["lsp"]
config = {{ menu_completion = true }}

[[language]]
name = "python"
language-servers = ["foretype"]
auto-format = false
"""
VIMRC = """\
set nocompatible noswapfile shortmess+=I encoding=utf-8
filetype plugin on
set runtimepath^={plugin}
runtime plugin/lsp.vim
call LspOptionsSet(#{{omniComplete: v:true, omniCompleteAllowBare: v:true}})
call LspAddServer([#{{name: 'foretype', filetype: ['python'], path: '{program}', args: ['lsp'],
  \\ initializationOptions: #{{menu_completion: v:true}}}}])
"""

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class InTerminal:
    """A terminal editor as the behaviours drive it; each file gets a process of its own."""

    def __init__(
        self, server: ServerProgram, name: str, command: list[str], environment: list[str]
    ) -> None:
        place = server.path.parent
        self._name, self._keys = name, KEYS[name]
        self._command = ["env", "LC_ALL=C.UTF-8", "COLORTERM=truecolor", *environment, *command]
        self._folder = place / "workspace"
        (self._folder / ".git").mkdir(parents=True)
        self._file = self._folder / "none"
        self._tmux = [str(shutil.which("tmux")), "-S", str(place / "t"), "-f", "/dev/null"]
        self._log = server.log

    def _run(self, *arguments: str) -> str:
        run = run_program([*self._tmux, *arguments], check=True, timeout=CALL_S)
        return run.stdout

    def fresh(self, name: str, content: bytes) -> None:
        self.close()
        self._file = self._folder / name
        self._file.write_bytes(content)
        self._log.unlink(missing_ok=True)
        command = shlex.join([*self._command, str(self._file)])
        self._run("new-session", "-d", "-x", "90", "-y", "24", "-c", str(self._folder), command)
        wait_for(lambda: name in self.screen(), f"{name} on the screen", CALL_S, pause_s=0.1)
        wait_for(self._is_served, "a server that is ready", CALL_S, pause_s=0.1)
        self._begin(content)

    def _is_served(self) -> bool:
        return self._log.exists() and "model loaded" in self._log.read_text(encoding="utf-8")

    def _begin(self, content: bytes) -> None:
        """Enter insert mode at the end of the last line, in a new one if that has a line end."""
        self._run("send-keys", *self._keys["last"], "o" if content.endswith(b"\n") else "A")
        time.sleep(0.5)

    def type(self, text: str) -> None:
        for key in text:
            self._run("send-keys", "-l", "\\;" if key == ";" else key)

    def press(self, action: str) -> None:
        for key in self._keys[action]:
            self._run("send-keys", key)
            time.sleep(0.1)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def saved(self) -> bytes:
        before = self._stamp()
        self.press("save")
        wait_for(lambda: self._stamp() not in (None, before), "the file", CALL_S)
        time.sleep(0.5)  # Helix writes it under its name, after moving the old one away
        return self._file.read_bytes()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            info = self._file.stat()
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_mtime_ns

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=CALL_S)
        time.sleep(0.2)


def helix(server: ServerProgram) -> InTerminal:
    found = HELIX / "bin" / "hx"
    program = str(found) if found.exists() else shutil.which("hx")
    if program is None:
        pytest.skip("no Helix here (scripts/setup-helix unpacks one on Debian)")
    folder = server.path.parent / "helix" / "helix"
    folder.mkdir(parents=True)
    text = LANGUAGES.format(program=server.path)
    (folder / "languages.toml").write_text(text, encoding="utf-8")
    environment = [f"XDG_CONFIG_HOME={folder.parent}", f"XDG_CACHE_HOME={folder.parent / 'cache'}"]
    if found.exists():
        environment.append(f"HELIX_RUNTIME={HELIX / 'lib' / 'hx' / 'runtime'}")
    return InTerminal(server, "Helix", [program], environment)


def vim(server: ServerProgram) -> InTerminal:
    program = shutil.which("vim")
    if program is None:
        pytest.skip("vim is not installed")
    if VIM_LSP is None:
        pytest.skip("no yegappan/lsp here (FORETYPE_VIM_LSP may name a checkout)")
    vimrc = server.path.parent / "vimrc"
    vimrc.write_text(VIMRC.format(program=server.path, plugin=VIM_LSP), encoding="utf-8")
    return InTerminal(server, "Vim 9", [program, "-u", str(vimrc)], [])


@pytest.fixture(scope="module", params=[helix, vim], ids=["Helix", "Vim 9"])
def scripted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _shared_cache_folder: Path,
) -> Iterator[tuple[str, InTerminal]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    driven = request.param(ServerProgram(tmp_path_factory.mktemp("menus"), _shared_cache_folder))
    yield ("Helix" if request.param is helix else "Vim 9"), driven
    driven.close()


@pytest.mark.parametrize("behaviour", MENU_BEHAVIOURS, ids=lambda behaviour: behaviour.title)
def test_menu_conforms(
    scripted: tuple[str, InTerminal],
    behaviour: "Behaviour[InTerminal]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if RESULTS:
        monkeypatch.setenv("FORETYPE_RESULTS", RESULTS)
    name, editor = scripted
    if (reason := judge(behaviour, name, editor, table="menus")) is not None:
        pytest.skip(reason)
