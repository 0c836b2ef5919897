"""What the keys of our Neovim module did before, they do where there is nothing of ours."""

import pytest

from tests.e2e.neovim import Editor
from tests.e2e.test_neovim import (  # noqa: F401  fixtures
    STUB,
    OpenEditor,
    nvim,
    open_editor,
    stubbed,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RAW = """lua Raw = { expr = true, callback = function() return 'q' .. vim.keycode('<Left>') end }
lua vim.api.nvim_set_keymap('i', '<Tab>', '', Raw)"""
PUT = """lua Put = function() vim.api.nvim_put({ 'q' }, 'c', false, true) end
lua vim.keymap.set('i', '<Tab>', Put)"""
# How a user may have mapped Tab, in Vim's language, and what it puts after `word`.
INSERTING = {
    "keys": ("inoremap <Tab> <Left>q", "worqd"),
    "other mappings": ("inoremap foo bar\nimap <Tab> foo", "wordbar"),
    "itself": ("imap <Tab> <Tab>q", "word    q"),
    "expression": (r'inoremap <expr> <Tab> pumvisible() ? "\<C-n>" : "q\<Left>"', "wordq"),
    "expression with other mappings": (
        "inoremap <Plug>(foo) bar\nimap <expr> <Tab> v:true ? '<Plug>(foo)' : '<Tab>'",
        "wordbar",
    ),
    "expression that gives itself": (
        "imap <expr> <Tab> v:false ? '<Plug>(foo)' : '<Tab>'",
        "word    ",
    ),
    "expression beyond ASCII": ("inoremap <expr> <Tab> 'À'", "wordÀ"),
    "function": (PUT, "wordq"),
    "function that gives raw keys": (RAW, "wordq"),
    "nothing, and an abbreviation": ("silent! iunmap <Tab>\niabbrev word whole", "whole   "),
}


@pytest.mark.parametrize("how", INSERTING)
def test_a_key_mapped_before_does_what_it_did(open_editor: OpenEditor, how: str) -> None:  # noqa: F811
    mapping, line = INSERTING[how]
    editor = open_editor(STUB, "import os\n", before=f"vim.cmd([=[{mapping}]=])")
    editor.keys("Goword<Tab>")
    editor.wait_for_line(line)


def test_in_normal_mode_an_expression_is_not_typed_as_commands(
    open_editor: OpenEditor,  # noqa: F811
) -> None:
    mapping = r"""nnoremap <expr> <Tab> "Aq\<Esc>" """
    editor = open_editor(STUB, "import os\n", before=f"vim.cmd([=[{mapping}]=])")
    editor.keys("<Tab>")
    editor.wait_for_line("import osq")


def test_a_buffers_own_mapping_does_not_become_everyones(open_editor: OpenEditor) -> None:  # noqa: F811
    both = "inoremap <Tab> every\ninoremap <buffer> <Tab> own"
    editor = open_editor(STUB, "import os\n", before=f"vim.cmd([[{both}]])")
    editor.keys(":enew<CR>i<Tab>")
    editor.wait_for_line("every")


def test_accepting_leaves_undo_as_it_is_elsewhere(stubbed: Editor) -> None:  # noqa: F811
    stubbed.lua("vim.cmd('setlocal undolevels=-1')")
    stubbed.keys("Gox = ")
    stubbed.wait_for_ghost()
    stubbed.keys("<Tab>")
    stubbed.wait_for_line("x = foobar(a, b)")
    assert stubbed.lua("return { vim.go.undolevels, vim.bo.undolevels }") == [1000, -1]
