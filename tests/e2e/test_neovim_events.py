"""What becomes of a suggestion in Neovim as other things happen around it."""

import os
import signal

import pytest

from tests.e2e.neovim import Editor
from tests.e2e.test_neovim import (  # noqa: F401  fixtures
    nvim,
    open_editor,
    stubbed,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PID = """
for _, pid in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do
  local words = io.open('/proc/' .. pid .. '/cmdline'):read('*a')
  if words:find('neovim_stub', 1, true) then return pid end
end
"""


def test_lines_over_an_auto_closed_bracket_are_taken_one_by_one(stubbed: Editor) -> None:  # noqa: F811
    stubbed.keys("Golines()<Left>")
    stubbed.wait_for_ghost("a,\n  b,\n  c")
    for left in ("\n  b,\n  c", "\n  c"):
        stubbed.keys("<M-Down>")
        stubbed.wait_for_ghost(left)
    stubbed.keys("<M-Down>")
    stubbed.wait_for_line("  c)")


def test_what_was_accepted_beside_a_menu_is_not_replaced_by_the_menu(stubbed: Editor) -> None:  # noqa: F811
    stubbed.lua("vim.o.completeopt = 'menuone,noselect'")
    stubbed.keys("Gofoolish<CR>x = foo<C-n>")
    wait_for(lambda: stubbed.lua("return vim.fn.pumvisible()"), "a menu")
    stubbed.wait_for_ghost("bar(a, b)")
    stubbed.keys("<Tab>")
    stubbed.wait_for_line("x = foobar(a, b)")
    assert stubbed.lua("return vim.fn.pumvisible()") == 0
    stubbed.keys("<C-n>.")
    stubbed.wait_for_line("x = foobar(a, b).")


def test_typing_over_what_stands_there_hides_it(stubbed: Editor) -> None:  # noqa: F811
    stubbed.keys("Gox = ")
    stubbed.wait_for_ghost()
    stubbed.keys("<Insert>")
    wait_for(lambda: stubbed.ghost() is None or None, "the end of the suggestion")
    stubbed.keys("<Tab>")
    stubbed.wait_for_line("x =     ")


def test_a_question_that_died_with_the_server_is_asked_again(stubbed: Editor) -> None:  # noqa: F811
    stubbed.keys("Go")
    stubbed.wait_for_line("")
    pid = stubbed.lua(PID)
    os.kill(pid, signal.SIGSTOP)
    stubbed.keys("x = ")
    stubbed.wait_for_line("x = ")
    stubbed.lua("vim.wait(300)")  # it is asked now
    os.kill(pid, signal.SIGKILL)
    stubbed.wait_for_ghost("foobar(a, b)")


# What the module would ask by itself falls due in the moment in which it is asked by hand.
BOTH_DUE = """
local module, by_hand = require('foretype.%s'), vim.uv.new_timer()
local client = vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1]
local request, asked = client.request, {}
client.request = function(self, method, params, ...)
  asked[#asked + 1] = params.context and params.context.triggerKind
  return request(self, method, params, ...)
end
module.stop()
by_hand:start(module.delay_ms, 0, vim.schedule_wrap(function() module.%s end))
module.moved()
vim.uv.sleep(2 * module.delay_ms)
vim.wait(5 * module.delay_ms)
return asked
"""


@pytest.mark.parametrize(
    ("keys", "module", "by_hand"), [("Go", "ghost", "cycle(1)"), ("G", "next_edit", "ask()")]
)
def test_asked_by_hand_it_is_not_asked_for_unasked_too(
    stubbed: Editor,  # noqa: F811
    keys: str,
    module: str,
    by_hand: str,
) -> None:
    stubbed.keys(keys)
    stubbed.wait_for_client()
    assert stubbed.lua(BOTH_DUE % (module, by_hand)) == [1]
