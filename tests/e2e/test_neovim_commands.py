"""What our Neovim module says to commands and settings that it cannot use, and where it is off."""

from pathlib import Path

import pytest

from tests.e2e.neovim import Editor
from tests.e2e.test_neovim import (  # noqa: F401  fixtures
    MODULE,
    STUB,
    nvim,
    open_editor,
    said,
    stubbed,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def command(editor: Editor, *words: str) -> str:
    """What is said to a command."""
    editor.lua("vim.cmd.messages('clear')")
    editor.keys(f"<Esc>:Foretype {' '.join(words)}<CR>")
    return wait_for(editor.messages, "a message")


@pytest.mark.parametrize("minutes", ["soon", "0", "-5"])
def test_a_pause_is_a_number_of_minutes(stubbed: Editor, minutes: str) -> None:  # noqa: F811
    assert "for how many minutes?" in command(stubbed, "snooze", minutes)
    assert stubbed.lua("return require('foretype').is_enabled()")


def test_what_show_knows_is_named_and_completed(stubbed: Editor) -> None:  # noqa: F811
    assert "one of: eager, balanced, quiet, off" in command(stubbed, "show", "everything")
    told = "return vim.lsp.get_clients({ name = 'foretype' })[1].config.init_options.show"
    assert stubbed.lua(told) == "eager"
    completed = "return vim.fn.getcompletion('Foretype show ', 'cmdline')"
    assert stubbed.lua(completed) == ["eager", "balanced", "quiet", "off"]


def test_a_next_edit_asked_for_by_hand_is_always_answered(stubbed: Editor) -> None:  # noqa: F811
    assert "no edit is due here" in command(stubbed, "next")
    stubbed.lua("vim.cmd.Foretype('off')")
    assert "no edit is due here" in command(stubbed, "next")
    stubbed.lua("vim.cmd.enew()")
    assert "nothing is suggested here" in command(stubbed, "next")


# How often the next edit is asked for after a change.
ASKED = """
local client, asked = vim.lsp.get_clients({ name = 'foretype' })[1], 0
local request = client.request
client.request = function(self, method, ...)
  if method == 'textDocument/copilotInlineEdit' then asked = asked + 1 end
  return request(self, method, ...)
end
require('foretype.next_edit').moved()
vim.wait(500)
client.request = request
return asked
"""


def test_a_buffer_that_wants_no_suggestions_gets_no_next_edit(stubbed: Editor) -> None:  # noqa: F811
    stubbed.lua("vim.b.foretype = false")
    assert "off in this buffer: b:foretype is false" in command(stubbed, "why")
    assert stubbed.lua(ASKED) == 0
    stubbed.lua("vim.b.foretype = nil")
    assert stubbed.lua(ASKED) == 1


def test_what_setup_cannot_use_is_named_and_the_rest_serves(nvim: str, tmp_path: Path) -> None:  # noqa: F811
    wrong = "cmd = 'foretype lsp', keys = { accept = {}, acept = '<C-y>', next = '<C-n>' }, ft = {}"
    configuration = tmp_path / "init.lua"
    configuration.write_text(
        f"vim.opt.runtimepath:prepend('{MODULE}')\nrequire('foretype').setup({{ {wrong} }})\n"
        "local keys = require('foretype').config.keys\n"
        "io.stderr:write('\\n' .. keys.accept .. ' ' .. keys.next .. '\\n')\n",
        encoding="utf-8",
    )
    words = said(nvim, configuration)
    assert "<Tab> <C-n>" in words
    assert 'cmd = "foretype lsp" is not used: it should be like { "foretype", "lsp" }' in words
    assert 'keys.accept = {} is not used: it should be like "<Tab>"' in words
    assert 'keys.acept = "<C-y>" is not used: there is no such option' in words
    assert "ft = {} is not used: there is no such option" in words
    assert "stack traceback" not in words


def test_without_the_program_commands_say_so(stubbed: Editor) -> None:  # noqa: F811
    stubbed.lua("require('foretype').setup({ cmd = { 'no-such-program', 'lsp' } })")
    for name in ("stats", "restart"):
        assert 'cannot run "no-such-program"; install it or set cmd' in command(stubbed, name)
    assert stubbed.lua("return vim.fn.tabpagenr('$')") == 1


def test_a_server_that_was_asked_to_end_stays_so(stubbed: Editor) -> None:  # noqa: F811
    stubbed.lua("vim.lsp.enable('foretype', false)")
    stubbed.lua("for _, it in ipairs(vim.lsp.get_clients({ name = 'foretype' })) do it:stop() end")
    status = "return require('foretype').status()"
    wait_for(lambda: stubbed.lua(status) == "foretype stopped" or None, "the end of the server")
    stubbed.lua("vim.wait(1300)")  # it would be started again after a second
    assert stubbed.lua("return #vim.lsp.get_clients({ name = 'foretype' })") == 0
    assert stubbed.messages() == ""
    stubbed.lua("vim.cmd.Foretype('restart')")
    stubbed.wait_for_client()
