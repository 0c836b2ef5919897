-- The least that a Neovim configuration needs, once `foretype` is on the PATH.
-- Put the folder editors/neovim on the runtimepath, by a plugin manager or like this:
vim.opt.runtimepath:prepend(vim.env.FORETYPE_NEOVIM or vim.fn.expand('~/foretype/editors/neovim'))

require('foretype').setup()
-- With everything spelled out:
-- require('foretype').setup({
--   cmd = { 'foretype', 'lsp' },
--   settings = { multi_line = 'never' },
--   keys = { accept = '<Tab>', next = '<M-]>' },
-- })
