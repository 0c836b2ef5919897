"""A person's keystrokes in a real Neovim: ghost text from our model, Tab, and the file on disk.

Neovim is $FORETYPE_NVIM, the one on the PATH, or what scripts/setup-neovim unpacked. Without one of
0.12 or newer these tests skip, unless $FORETYPE_REQUIRE_NEOVIM says that it must be there.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from assistant.counts import read
from assistant.setup.change import write
from assistant.setup.editors import EDITORS
from assistant.setup.machine import Machine
from model.folder import bundled_for, load_folder
from tests.e2e.conformance import SOURCE
from tests.e2e.neovim import Editor, is_new_enough
from tests.e2e.neovim_stub import WORDS
from tests.programs import ROOT, run_program
from tests.waiting import wait_for

BUNDLED = ROOT / "model" / "bundled" / "python"
MODULE = ROOT / "editors" / "neovim"
STUB = [sys.executable, str(Path(__file__).with_name("neovim_stub.py"))]
SCREEN = ROOT / ".venv" / "neovim-screen.ansi"  # the last captured screen, to look at: cat it

# Read before the fixtures take these variables away.
NAMED_NVIM = os.environ.get("FORETYPE_NVIM")
MUST_HAVE = bool(os.environ.get("FORETYPE_REQUIRE_NEOVIM"))

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
T = TypeVar("T")


@pytest.fixture(scope="module")
def nvim() -> str:
    candidates = [NAMED_NVIM, shutil.which("nvim"), str(ROOT / ".venv/neovim/root/usr/bin/nvim")]
    for candidate in candidates:
        if candidate and is_new_enough(candidate):
            return candidate
    reason = "no Neovim 0.12 or newer here (scripts/setup-neovim unpacks one on Debian)"
    if MUST_HAVE:
        pytest.fail(reason)
    pytest.skip(reason)


def write_configuration(folder: Path, command: list[str], before: str = "") -> Path:
    """An init.lua as a person would have, with this checkout's module and server."""
    path = folder / "init.lua"
    path.write_text(
        # Looking for a Python with Neovim's own library costs seconds; nothing here uses one.
        "vim.g.loaded_python3_provider = 0\n"
        f"vim.opt.runtimepath:prepend({json.dumps(str(MODULE))})\n"
        f"local cmd = {{ {', '.join(map(json.dumps, command))} }}\n{before}\n"
        "require('foretype').setup({ cmd = cmd, settings = { show = 'eager' } })\n",
        encoding="utf-8",
    )
    return path


OpenEditor = Callable[..., Editor]  # the server's command, the file's text and name, Lua before us


@pytest.fixture
def open_editor(nvim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenEditor]:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    editors: list[Editor] = []

    def start(command: list[str], text: str, name: str = "edited.py", before: str = "") -> Editor:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        editors.append(Editor(nvim, write_configuration(tmp_path, command, before), file))
        editors[-1].wait_for_client()
        return editors[-1]

    yield start
    for editor in editors:
        editor.close()


@pytest.fixture
def stubbed(open_editor: OpenEditor) -> Editor:
    return open_editor(STUB, "import os\n")


def test_tab_accepts_what_is_shown(stubbed: Editor) -> None:
    stubbed.keys("Gox = ")
    stubbed.wait_for_ghost("foobar(a, b)")
    stubbed.keys("<Tab>")
    stubbed.wait_for_line("x = foobar(a, b)")
    assert stubbed.write_and_quit() == "import os\nx = foobar(a, b)\n"


def test_keys_typed_along_the_suggestion_are_not_doubled(stubbed: Editor) -> None:
    stubbed.keys("Goπ = ")
    stubbed.wait_for_ghost("foobar(a, b)")
    stubbed.keys("foo<Tab>")  # faster than Neovim asks again
    stubbed.wait_for_line("π = foobar(a, b)")


def test_keys_taken_back_are_offered_again(stubbed: Editor) -> None:
    stubbed.keys("Gox = foo")
    stubbed.wait_for_ghost("bar(a, b)")
    stubbed.keys("<BS><BS><Tab>")
    stubbed.wait_for_line("x = foobar(a, b)")


def test_suggestion_that_no_longer_fits_is_not_inserted(stubbed: Editor) -> None:
    stubbed.keys("Gox = ")
    stubbed.wait_for_ghost("foobar(a, b)")
    stubbed.keys("zz<Tab>")
    stubbed.wait_for_line("x = zz  ")  # the next tab stop


def test_auto_closed_bracket_is_replaced_after_typing_on(stubbed: Editor) -> None:
    stubbed.keys("Gopair()<Left>")
    stubbed.wait_for_ghost()
    stubbed.keys("le<Tab>")
    stubbed.wait_for_line("pair(left, right)")


def test_next_key_asks_for_all_and_shows_another_suggestion(stubbed: Editor) -> None:
    stubbed.keys("Gox = ")
    stubbed.wait_for_ghost("foobar(a, b)")
    stubbed.keys("<M-]>")
    stubbed.wait_for_ghost("second_choice")
    stubbed.keys("<M-]>")
    stubbed.wait_for_ghost("foobar(a, b)")
    stubbed.keys("<M-[>")
    stubbed.wait_for_ghost("second_choice")
    stubbed.keys("<Tab>")
    stubbed.wait_for_line("x = second_choice")


def test_asking_where_there_is_nothing_says_so(stubbed: Editor) -> None:
    stubbed.keys("Goword<M-]>")
    wait_for(lambda: "nothing to suggest here" in stubbed.messages(), "a message")
    stubbed.lua(r"vim.cmd([[emenu PopUp.foretype:\ Why\ nothing\ here?]])")
    wait_for(lambda: f"foretype: {WORDS}" in stubbed.messages(), "why")
    menu = "return table.concat(vim.fn.menu_info('PopUp').submenus, '|')"
    assert "foretype: Show more or less..." in stubbed.lua(menu)


def test_tabs_are_drawn_as_the_spaces_that_they_will_be(stubbed: Editor) -> None:
    stubbed.lua("vim.bo.tabstop = 4; vim.bo.expandtab = false; vim.bo.indentexpr = ''")
    stubbed.keys("Go<C-V><Tab>tabs")
    stubbed.wait_for_ghost("    = 1\n    if x:\n        y   = 2")
    stubbed.keys("<Tab>")
    stubbed.wait_for_line("\t\ty\t= 2")


def test_off_ends_a_pause_for_good(stubbed: Editor) -> None:
    status = "return require('foretype').status()"
    stubbed.lua("require('foretype').snooze(0.01)")  # minutes
    stubbed.lua("vim.cmd.Foretype('off')")
    stubbed.lua("vim.wait(1500)")
    assert stubbed.lua(status) == "foretype off"
    stubbed.lua("require('foretype').snooze(0.005)")
    wait_for(lambda: stubbed.lua(status) != "foretype off", "the end of a pause")


def test_show_is_what_the_server_is_told(stubbed: Editor) -> None:
    told = "return vim.lsp.get_clients({ name = 'foretype' })[1].config.init_options.show"
    assert stubbed.lua(told) == "eager"
    stubbed.lua("vim.cmd.Foretype({ args = { 'show', 'quiet' } })")
    stubbed.wait_for_client()
    assert stubbed.lua(told) == "quiet"


def test_tab_without_a_suggestion_indents(stubbed: Editor) -> None:
    stubbed.keys("Goword<Tab>")
    stubbed.wait_for_line("word    ")


def said(nvim: str, configuration: Path, *arguments: str) -> str:
    run = run_program(
        [nvim, "--clean", "--headless", "-n", "-u", str(configuration), *arguments, "+qa"],
        timeout=60,
    )
    return run.stderr


def test_missing_program_is_named_where_it_is_wanted_and_not_at_every_start(
    nvim: str, tmp_path: Path
) -> None:
    configuration = write_configuration(tmp_path, ["no-such-program", "lsp"])
    assert said(nvim, configuration) == ""
    words = 'foretype: cannot run "no-such-program"; install it or set cmd'
    assert said(nvim, configuration, "a.py", "+e b.py").count(words) == 1


def test_start_after_the_package_was_removed_is_silent(
    nvim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr("assistant.setup.editors.shipped", lambda _: gone)
    machine = Machine(home=tmp_path, environ={})
    change = EDITORS["nvim"].plan(machine, [str(gone / "foretype"), "lsp"]).change
    assert change is not None
    write(change)
    assert said(nvim, change.path, "a.py") == ""


# With the bundled model.

TYPED = "return self.width "
# tmux writes a cell's colour before it: red, green, blue, or "bright black". `self` has its own.
COLOURED = re.compile(re.escape(".width ") + r"\x1b\[(38;2;\d+;\d+;\d+|90)m([^\x1b]+)")


@pytest.fixture
def server(shared_cache: Path) -> list[str]:
    """The real server's command; its artefact is built first, as after a first use."""
    if not BUNDLED.is_dir():
        pytest.skip("this checkout has no bundled model")
    script = Path(sys.executable).with_name("foretype")
    command = [str(script)] if script.exists() else [sys.executable, str(ROOT / "foretype.py")]
    place = str(ROOT / "docs" / "samples" / "inventory" / "store.py") + ":10:1"
    first = subprocess.run([*command, "complete", place], capture_output=True, timeout=300)
    assert first.returncode in (0, 1), first.stderr  # something or nothing, but no error
    return [*command, "lsp"]


def nudge_until(look: Callable[[], T | None], nudge: Callable[[], None], what: str) -> T:
    """Wait as a person does while the model loads: now and then touch a key."""
    for _ in range(20):
        try:
            return wait_for(look, what, seconds=2)
        except AssertionError:
            nudge()
    raise AssertionError(f"no {what}, however often keys were touched")


def test_bundled_model_completes_a_line_that_is_then_on_disk(
    open_editor: OpenEditor, server: list[str]
) -> None:
    editor = open_editor(server, SOURCE)
    editor.keys("Go")
    for key in TYPED:
        editor.keys(key)
    ghost = nudge_until(editor.ghost, lambda: editor.keys("<Space><BS>"), "ghost text")
    before = editor.text()
    assert before == SOURCE + " " * 8 + TYPED
    editor.keys("<Tab>")
    wait_for(lambda: editor.text() == before + ghost, f"buffer with {ghost!r}", seconds=5)
    editor.lua("require('foretype').restart()")  # the old server is asked to end, not killed
    wait_for(lambda: counted("whole") == 1 and counted("saved") == len(ghost) - 1, "the counts")
    assert editor.write_and_quit() == before + ghost + "\n"


GO = """\
package box

type Box struct{ Width, Height int }

func (b *Box) Area() int {
\treturn b.Width * b.Height
}

func (b *Box) Half() int {
"""
TYPESCRIPT = """\
export class Box {
  constructor(private width: number, private height: number) {}

  area(): number {
    return this.width * this.height;
  }

  half(): number {
"""
OTHERS = {"edited.go": (GO, "return b.Width "), "edited.ts": (TYPESCRIPT, "return this.width ")}
SERVING = """
local client = vim.lsp.get_clients({ name = 'foretype' })[1]
local asked = { command = 'foretype.status', arguments = {} }
return vim.json.encode(client:request_sync('workspace/executeCommand', asked, 20000).result)
"""


@pytest.mark.parametrize("name", OTHERS)
def test_other_languages_are_completed_by_the_network_for_them(
    open_editor: OpenEditor, server: list[str], name: str
) -> None:
    text, typed = OTHERS[name]
    editor = open_editor(server, text, name)
    model = str(load_folder(bundled_for("go")).info.name)
    editor.keys("Go")
    for key in typed:
        editor.keys(key)

    def nudge() -> None:
        editor.keys("z")  # fits no text that is shown already: the server is asked again
        time.sleep(1)
        editor.keys("<BS>")

    nudge_until(lambda: model in editor.lua(SERVING), nudge, f"{model} at work")
    ghost = nudge_until(editor.ghost, nudge, "ghost text")
    before = editor.text()
    editor.keys("<Tab>")
    wait_for(lambda: editor.text() == before + ghost, f"buffer with {ghost!r}", seconds=5)


def counted(wanted: str) -> int:
    return sum(n for *_, name, n in read() if name == wanted)


class Terminal:
    """A screen of 80 by 24 in a tmux of its own."""

    def __init__(self, tmux: str, socket: Path) -> None:
        self._tmux = [tmux, "-S", str(socket), "-f", "/dev/null"]

    def run(self, *arguments: str) -> str:
        done = run_program([*self._tmux, *arguments], check=True, timeout=30)
        return done.stdout

    def start(self, command: list[str], colorterm: str) -> None:
        colours = ["env", "TERM=tmux-256color", f"COLORTERM={colorterm}", "LC_ALL=C.UTF-8"]
        self.run("new-session", "-d", "-x", "80", "-y", "24", shlex.join([*colours, *command]))

    def type(self, text: str) -> None:
        for key in text:
            self.run("send-keys", "-l", key)

    def press(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    def screen(self) -> str:
        return self.run("capture-pane", "-p", "-e")


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    started = Terminal(tmux, tmp_path_factory.mktemp("tmux") / "s")
    yield started
    subprocess.run([*started._tmux, "kill-server"], capture_output=True, timeout=30)


@pytest.mark.parametrize("colorterm", ["truecolor", ""])
def test_ghost_text_is_grey_on_a_real_screen(
    colorterm: str, nvim: str, server: list[str], terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "edited.py"
    file.write_text(SOURCE, encoding="utf-8")
    configuration = write_configuration(tmp_path, server)
    terminal.start([nvim, "--clean", "-n", "-u", str(configuration), str(file)], colorterm)
    wait_for(lambda: "volume" in terminal.screen(), "file on the screen")
    terminal.type("Go" + TYPED)
    ghost = nudge_until(
        lambda: COLOURED.search(terminal.screen()),
        lambda: terminal.press("Space", "BSpace"),
        "coloured text after the cursor",
    )
    SCREEN.parent.mkdir(exist_ok=True)
    SCREEN.write_text(terminal.screen(), encoding="utf-8")
    colour, shown = ghost.groups()
    if colorterm:
        *_, red, green, blue = map(int, colour.split(";"))
        assert max(red, green, blue) - min(red, green, blue) < 32  # grey: they are about equal
    terminal.press("Tab", "Escape")
    terminal.type(":wq")
    terminal.press("Enter")
    expected = SOURCE + " " * 8 + TYPED + shown.rstrip() + "\n"
    wait_for(lambda: file.read_text(encoding="utf-8") == expected, f"{shown!r} on disk")
