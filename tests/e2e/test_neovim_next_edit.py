"""The next edit in a real Neovim with our server: by our own module, and by sidekick.nvim.

sidekick.nvim is looked for at $FORETYPE_SIDEKICK (tried: commit 8ad0ede).
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conformance import CALLS
from tests.e2e.neovim import Editor
from tests.e2e.test_neovim import MODULE, ROOT, nvim  # noqa: F401  a fixture
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SIDEKICK = os.environ.get("FORETYPE_SIDEKICK", "")
MARKS = """
local namespace = vim.api.nvim_get_namespaces()['foretype_next_edit']
local drawn = {}
local marks = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })
for _, mark in ipairs(marks) do
  for _, chunk in ipairs(mark[4].virt_text or {}) do
    drawn[#drawn + 1] = mark[2] .. ':' .. chunk[1]
  end
end
return table.concat(drawn, '|')
"""


@pytest.fixture
def editor(nvim: str, tmp_path: Path, private_home: Path) -> Iterator[Editor]:  # noqa: F811
    setup = "require('foretype').setup({ cmd = cmd, settings = { index = false } })\n"
    yield from run_editor(nvim, tmp_path, [MODULE], setup)


@pytest.fixture
def sidekick(nvim: str, tmp_path: Path, private_home: Path) -> Iterator[Editor]:  # noqa: F811
    if not SIDEKICK:
        pytest.skip("FORETYPE_SIDEKICK does not name a copy of sidekick.nvim")
    setup = (
        "vim.lsp.config('foretype_copilot', { cmd = cmd, filetypes = { 'python' } })\n"
        "vim.lsp.enable('foretype_copilot')\n"
        "require('sidekick').setup({ nes = { enabled = true } })\n"
    )
    yield from run_editor(nvim, tmp_path, [Path(SIDEKICK)], setup)


def run_editor(program: str, folder: Path, modules: list[Path], setup: str) -> Iterator[Editor]:
    configuration = folder / "init.lua"
    command = [sys.executable, str(ROOT / "foretype.py"), "lsp"]
    paths = "".join(f"vim.opt.runtimepath:prepend({json.dumps(str(path))})\n" for path in modules)
    configuration.write_text(
        "vim.g.loaded_python3_provider = 0\n"
        f"{paths}local cmd = {{ {', '.join(map(json.dumps, command))} }}\n{setup}",
        encoding="utf-8",
    )
    file = folder / "a.py"
    file.write_text(CALLS, encoding="utf-8")
    running = Editor(program, configuration, file)
    try:
        yield running
    finally:
        running.close()


def wait_for_marks(editor: Editor, text: str) -> None:
    wait_for(
        lambda: editor.lua(MARKS) == text or None, f"next edit {text!r}, not {editor.lua(MARKS)!r}"
    )


def test_it_is_drawn_jumped_to_made_and_the_next_one_comes(editor: Editor) -> None:
    editor.wait_for_client()
    editor.keys("jf)i, timeout=5<Esc>")
    wait_for_marks(editor, "1:  next edit: line 4|3:, timeout=5")
    editor.keys("<Tab>")
    wait_for(lambda: editor.lua("return vim.fn.line('.')") == 4 or None, "jump")
    wait_for_marks(editor, "3:, timeout=5")
    editor.keys("<Tab>")
    editor.wait_for_line("    data = fetch(url, timeout=5)")
    wait_for_marks(editor, "3:  next edit: line 5|4:, timeout=5")
    editor.keys("<Tab><Tab>")
    editor.wait_for_line("    data = fetch(url, timeout=5)")
    editor.keys("uu")  # each is undone by itself
    wait_for(lambda: "data = fetch(url)\n" in editor.text() + "\n" or None, "undo")


def test_escape_waves_it_away(editor: Editor) -> None:
    editor.wait_for_client()
    editor.keys("jf)i, timeout=5<Esc>")
    wait_for_marks(editor, "1:  next edit: line 4|3:, timeout=5")
    editor.keys("<Esc>")
    wait_for_marks(editor, "")


# Letters that share a byte of UTF-8 with another one, in front or behind.
LETTERS = """
local buf, shared = vim.api.nvim_get_current_buf(), {}
local next_edit = require('foretype.next_edit')
local client = vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1]
for old, new in pairs({ ['é'] = '©', ['aé'] = 'aè', ['éx'] = 'é' }) do
  vim.api.nvim_buf_set_lines(buf, 0, 1, true, { old })
  local range = { start = { line = 0, character = 0 }, ['end'] = { line = 1, character = 0 } }
  local edit = { range = range, text = new .. '\\n' }
  client.request = function(_, _, _, on_answer) on_answer(nil, { edits = { edit } }) end
  next_edit.ask()
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buf, NAMESPACE, 0, -1, { details = true })) do
    local text, taken = mark[4].virt_text, mark[4].end_col
    shared[#shared + 1] = text and text[1][1] or old:sub(mark[3] + 1, taken)
  end
end
table.sort(shared)
return shared
""".replace("NAMESPACE", "vim.api.nvim_get_namespaces()['foretype_next_edit']")


def test_a_letter_beyond_ascii_is_drawn_whole(editor: Editor) -> None:
    editor.wait_for_client()
    assert editor.lua(LETTERS) == ["x", "©", "è", "é", "é"]


def test_without_one_tab_does_what_it_did(editor: Editor) -> None:
    editor.wait_for_client()
    editor.keys("G<C-o><Tab>")
    wait_for(lambda: editor.lua("return vim.fn.line('.')") == 5 or None, "jump forward")


def test_sidekick_shows_it_and_makes_it(sidekick: Editor) -> None:
    attached = "return #vim.lsp.get_clients({ bufnr = 0, name = 'foretype_copilot' }) > 0"
    wait_for(lambda: sidekick.lua(attached) or None, "language client")
    wait_for(lambda: sidekick.lua("return vim.lsp.get_clients()[1].initialized") or None, "start")
    sidekick.keys("jf)i, timeout=5<Esc>")
    wait_for(lambda: sidekick.lua("return require('sidekick.nes').have()") or None, "next edit")
    sidekick.lua("require('sidekick').nes_jump_or_apply()")
    wait_for(lambda: sidekick.lua("return vim.fn.line('.')") == 4 or None, "jump")
    sidekick.lua("require('sidekick').nes_jump_or_apply()")
    wait_for(lambda: sidekick.text().count("timeout=5") == 2 or None, "change")
    wait_for(lambda: sidekick.lua("return require('sidekick.nes').have()") or None, "next edit")


HELD = """
local client = vim.lsp.get_clients({ name = 'foretype' })[1]
local request = client.request
client.request = function(self, method, params, handler, buf)
  local is_ours = method == 'textDocument/copilotInlineEdit'
  local function hold(...) _G.held, _G.answer = handler, { ... } end
  return request(self, method, params, is_ours and hold or handler, buf)
end
require('foretype.next_edit').ask()
"""


def test_an_answer_on_its_way_does_not_bring_back_what_was_waved_away(editor: Editor) -> None:
    """2026-11-30: it did, where two questions were under way."""
    editor.wait_for_client()
    editor.keys("jf)i, timeout=5<Esc>")
    wait_for_marks(editor, "1:  next edit: line 4|3:, timeout=5")
    editor.lua(HELD)
    arrived = "return _G.answer and #_G.answer[2].edits == 1"
    wait_for(lambda: editor.lua(arrived), "the same edit again")
    assert editor.lua("return require('foretype.next_edit').dismiss()")
    editor.lua("_G.held(unpack(_G.answer))")
    assert editor.lua(MARKS) == ""
