"""The behaviours of `conformance` in a real Neovim 0.12, and in the 0.11 of FORETYPE_NVIM_011."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.behaviours import BEHAVIOURS
from tests.e2e.conformance import CALL, START, Behaviour, furnish, judge
from tests.e2e.neovim import Editor, is_new_enough
from tests.e2e.served import ServerProgram
from tests.programs import ROOT
from tests.waiting import wait_for

MODULE = ROOT / "editors" / "neovim"
# Read before the fixtures take these variables away.
NAMED = {"0.12": os.environ.get("FORETYPE_NVIM"), "0.11": os.environ.get("FORETYPE_NVIM_011")}
MUST_HAVE = bool(os.environ.get("FORETYPE_REQUIRE_NEOVIM"))
RESULTS = os.environ.get("FORETYPE_RESULTS")
KEYS = {
    "accept": "<Tab>",
    "word": "<M-Right>",
    "line": "<M-Down>",
    "ask": "<M-]>",
    "next": "<M-]>",
    "previous": "<M-[>",
    "dismiss": "<C-]>",
    "leave": "<Esc>",
    "undo": "<Esc>ua",
    "left": "<Left>",
    "right": "<Right>",
    "back": "<BS>",
}

SPOKEN = "return vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1].offset_encoding"

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def find_nvim(version: str) -> str:
    places = [NAMED[version]]
    if version == "0.12":
        places += [shutil.which("nvim"), str(ROOT / ".venv/neovim/root/usr/bin/nvim")]
    for place in places:
        if place and is_new_enough(place, version):
            return place
    reason = f"no Neovim {version} here"
    if MUST_HAVE and version == "0.12":
        pytest.fail(reason)
    pytest.skip(reason)


class InNeovim:
    """Neovim as the conformance suite drives it."""

    def __init__(self, nvim: str, place: Path, cache: Path) -> None:
        self._folder, self._other = place / "workspace", place / "second"
        self.server = ServerProgram(place, cache)
        furnish(self.server, first=self._folder, second=self._other)
        first = self._folder / "first.py"
        first.write_bytes(b"first = 1\n")
        lines = [
            "vim.g.loaded_python3_provider = 0",
            f"vim.opt.runtimepath:prepend({json.dumps(str(MODULE))})",
            # The lines that the behaviours expect are what their keys say: no indenting twice.
            "vim.g.pyindent_disable_parentheses_indenting = true",
            f"local cmd = {{ {json.dumps(str(self.server.path))}, 'lsp' }}",
            "require('foretype').setup({ cmd = cmd })",
        ]
        configuration = place / "init.lua"
        configuration.write_text("\n".join(lines), encoding="utf-8")
        self.editor = Editor(nvim, configuration, first)
        self.editor.wait_for_client()
        self._file = first

    def _open(self, file: Path, content: bytes) -> None:
        self._file = file
        self._file.write_bytes(content)
        self.editor.keys("<Esc>")
        self.editor.lua(
            f"vim.cmd.edit({{ args = {{ {json.dumps(str(self._file))} }}, bang = true }})"
        )
        # Its last line may lack a line end, as the cursor's does in other editors.
        self.editor.lua("vim.bo.fixendofline = false")

    def fresh(self, name: str, content: bytes) -> None:
        self._begin(self._folder / name, content)

    def second(self, name: str, content: bytes) -> None:
        self._begin(self._other / name, content)

    def _begin(self, file: Path, content: bytes) -> None:
        self._open(file, content)
        self.editor.wait_for_client()
        # A new last line, without Neovim's own indenting.
        self.editor.keys("Go<Esc>0C" if content.endswith(b"\n") else "GA")

    def speak(self, encoding: str) -> None:
        offered = f"{{ general = {{ positionEncodings = {{ '{encoding}' }} }} }}"
        self.editor.lua(f"vim.lsp.config('foretype', {{ capabilities = {offered} }})")
        self.editor.lua("require('foretype').restart()")
        self.editor.wait_for_client()
        assert self.editor.lua(SPOKEN) == encoding

    def untitled(self) -> None:
        self.editor.keys("<Esc>")
        self.editor.lua("vim.cmd.enew({ bang = true }) vim.bo.filetype = 'python'")
        self.editor.wait_for_client()
        self.editor.keys("i")

    def read_only(self, name: str, content: bytes) -> None:
        self._open(self._folder / name, content)
        self.editor.lua("vim.bo.readonly = true vim.bo.modifiable = false")
        self.editor.keys("G$")

    def type(self, text: str) -> None:
        for key in text:
            self.editor.keys({"\n": "<CR>", "<": "<lt>"}.get(key, key))

    def press(self, action: str) -> None:
        self.editor.keys(KEYS[action])

    def ghost(self) -> str:
        return self.editor.ghost() or ""

    def text(self) -> str:
        return self.editor.text()

    def saved(self) -> bytes:
        self.editor.lua("vim.cmd.write()")
        return self._file.read_bytes()

    def complaints(self) -> str:
        lines = self.editor.messages().splitlines()
        return "; ".join(line for line in lines if line.startswith("E") or "Error" in line)


@pytest.fixture(scope="module", params=["0.12", "0.11"])
def scripted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _shared_cache_folder: Path,
) -> Iterator[tuple[str, InNeovim]]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LC_ALL", "C.UTF-8")
        place = tmp_path_factory.mktemp("neovim")
        driven = InNeovim(find_nvim(request.param), place, _shared_cache_folder)
    yield f"Neovim {request.param}", driven
    driven.editor.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.title)
def test_neovim_conforms(
    scripted: tuple[str, InNeovim], behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    if RESULTS:
        monkeypatch.setenv("FORETYPE_RESULTS", RESULTS)
    name, editor = scripted
    if (reason := judge(behaviour, name, editor)) is not None:
        pytest.skip(reason)


def test_health_says_that_all_is_well(scripted: tuple[str, InNeovim]) -> None:
    _, driven = scripted
    driven.fresh("health.py", b"x = 1\n")
    ready = "return require('foretype.server').state == 'ready'"
    wait_for(lambda: driven.editor.lua(ready) or None, "a ready server")
    driven.editor.keys("<Esc>")
    driven.editor.lua("vim.cmd.checkhealth('foretype')")
    report = wait_for(
        lambda: text if "suggestions are on" in (text := driven.editor.text()) else None, "report"
    )
    assert "the server answers: model ready" in report
    assert "ERROR" not in report
    driven.editor.lua("vim.cmd.bdelete()")


def test_switches_and_status(scripted: tuple[str, InNeovim]) -> None:
    _, driven = scripted
    driven.fresh("switches.py", START)
    status = "return require('foretype').status()"
    wait_for(lambda: driven.editor.lua(status).startswith("foretype"), "status")
    driven.editor.keys("<Esc>")
    driven.editor.lua("vim.cmd.Foretype('off')")
    assert driven.editor.lua(status) == "foretype off"
    driven.editor.keys("aresult = ")
    driven.editor.wait_for_line("result = ")
    assert driven.ghost() == ""
    driven.editor.lua("vim.cmd.Foretype('on')")
    driven.editor.keys("v")
    driven.editor.wait_for_ghost(CALL[1:])
    assert driven.editor.lua(status).endswith(" ms")


def test_help_has_a_tag_for_every_function(scripted: tuple[str, InNeovim]) -> None:
    _, driven = scripted
    text = (MODULE / "doc" / "foretype.txt").read_text(encoding="utf-8")
    names = driven.editor.lua("return vim.tbl_keys(require('foretype'))")
    assert [name for name in names if name != "config" and f"*foretype.{name}()*" not in text] == []


STATUS_WORDS = """
local told = require('foretype.told')
local server = require('foretype.server')
server.state, server.latency_ms = 'ready', 12
local function words(status)
  server.trouble, server.model = told.trouble(status), told.own_model(status)
  return require('foretype').status()
end
local remote = { mode = 'fallback', host = 'h', state = 'degraded', problem = 'no answer' }
local seen = {
  words({ remote = { mode = 'off' }, model = { serving = 'nano', base = 'nano' } }),
  words({ remote = remote, model = { serving = 'app-1', base = 'nano' } }),
  server.trouble,
  words({ remote = { mode = 'race', state = 'needs consent' } }),
}
server.trouble, server.model = nil, nil
return seen
"""


def test_statusline_tells_of_the_model_and_of_a_remote_server(
    scripted: tuple[str, InNeovim],
) -> None:
    _, driven = scripted
    assert driven.editor.lua(STATUS_WORDS) == [
        "foretype 12 ms",
        "foretype remote! app-1 12 ms",
        "h is degraded (no answer); suggestions come from this machine alone",
        "foretype remote! 12 ms",
    ]


def test_models_are_listed_and_chosen(scripted: tuple[str, InNeovim]) -> None:
    """There is no model of the user's own."""
    _, driven = scripted
    driven.fresh("models.py", b"x = 1\n")
    driven.editor.keys("<Esc>")
    driven.editor.lua("vim.ui.select = function(items, _, on) Listed = items on(items[1]) end")
    driven.editor.lua("vim.cmd.messages('clear') vim.cmd.Foretype('models')")
    wait_for(lambda: driven.editor.lua("return Listed ~= nil"), "a list of models")
    assert driven.editor.lua("return #Listed") == 1
    assert driven.editor.lua("return Listed[1].name") == "base"
    wait_for(lambda: "foretype: " in driven.editor.messages(), "what became of it")


def test_commands_of_the_program_run_in_a_terminal(scripted: tuple[str, InNeovim]) -> None:
    _, driven = scripted
    driven.editor.lua("require('foretype').config.cmd = { 'echo', 'program', 'lsp' }")
    driven.editor.lua("vim.cmd.Foretype({ args = { 'tune', '--dry-run' } })")
    wait_for(lambda: "program tune --dry-run" in driven.editor.text(), "a terminal")
    driven.editor.keys("<C-\\><C-n>")
    driven.editor.lua("vim.cmd.bdelete({ bang = true })")
