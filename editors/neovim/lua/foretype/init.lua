-- foretype for Neovim >= 0.12: starts the language server, shows its text, binds two keys.
--
-- Neovim itself asks, draws and accepts (vim.lsp.inline_completion). What is added here is the
-- repair of one race: a suggestion answers the line as it was when Neovim asked; keys typed since
-- then are doubled by a plain accept. So the asked line is remembered, and what was typed after it
-- is counted in before the text is put in.

local M = {}

local METHOD = 'textDocument/inlineCompletion'

local defaults = {
  cmd = { 'foretype', 'lsp' },
  filetypes = {
    'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact',
    'go', 'rust', 'java', 'c', 'cpp',
  },
  root_markers = { '.git' },
  settings = {}, -- sent as initializationOptions; see editors/README.md
  keys = { accept = '<Tab>', next = '<M-]>' }, -- false: no key
}

-- By buffer: requests under way, and the place of the newest one that has been answered.
local asked, answered = {}, {}

local function place_of_cursor(buf)
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  return { row = row - 1, col = col, line = vim.api.nvim_buf_get_lines(buf, row - 1, row, true)[1] }
end

local function remember(event)
  local request, id = event.data.request, event.data.request_id
  if request.method ~= METHOD then return end
  local buf = request.bufnr
  asked[buf] = asked[buf] or {}
  if request.type == 'pending' and vim.api.nvim_get_current_buf() == buf then
    asked[buf][id] = place_of_cursor(buf)
  elseif request.type ~= 'pending' then
    local place = asked[buf][id]
    asked[buf][id] = nil
    local newest = answered[buf]
    if request.type == 'complete' and place and not (newest and newest.id > id) then
      place.id = id
      answered[buf] = place
    end
  end
end

--- The item's range on the line as it is now, or nil if what was typed since is not in its text.
local function range_now(buf, item, place)
  local now = place_of_cursor(buf)
  local row, first, last_row, last = item.range:to_extmark()
  if row ~= last_row or row ~= place.row or now.row ~= row or first > now.col then return nil end
  local before_cursor_alone = now.line:sub(now.col + 1) == place.line:sub(place.col + 1)
    and now.line:sub(1, first) == place.line:sub(1, first)
  if not before_cursor_alone then return nil end
  if not vim.startswith(item.insert_text, now.line:sub(first + 1, now.col)) then return nil end
  return vim.range.extmark(buf, row, first, row, last + now.col - place.col)
end

local function on_accept(item)
  local buf = vim.api.nvim_get_current_buf()
  local place = answered[buf]
  if not (place and item.range and type(item.insert_text) == 'string') then return item end
  item.range = range_now(buf, item, place)
  if item.range then return item end
  -- The text on offer no longer fits: the key means what it means without one.
  vim.api.nvim_feedkeys(vim.keycode(M.config.keys.accept), 'n', false)
end

--- Accept the text on offer; false when there is none.
function M.accept()
  return vim.lsp.inline_completion.get({ on_accept = on_accept })
end

--- Show the next suggestion for this place.
function M.next()
  vim.lsp.inline_completion.select()
end

local function map_keys(keys)
  if keys.accept then
    vim.keymap.set('i', keys.accept, function()
      return M.accept() and '' or keys.accept
    end, { expr = true, desc = 'foretype: accept the suggestion' })
  end
  if keys.next then
    vim.keymap.set('i', keys.next, M.next, { desc = 'foretype: next suggestion' })
  end
end

--- Start foretype for its file types; `opts` overrides the defaults above.
function M.setup(opts)
  if vim.fn.has('nvim-0.12') == 0 then
    vim.notify('foretype needs Neovim 0.12 or newer', vim.log.levels.ERROR)
    return
  end
  M.config = vim.tbl_deep_extend('force', defaults, opts or {})
  if vim.fn.executable(M.config.cmd[1]) == 0 then
    vim.notify(('foretype: cannot run %q; install it or set cmd'):format(M.config.cmd[1]), vim.log.levels.ERROR)
    return
  end
  local group = vim.api.nvim_create_augroup('foretype', {})
  vim.api.nvim_create_autocmd('LspRequest', { group = group, callback = remember })
  vim.api.nvim_create_autocmd('BufWipeout', {
    group = group,
    callback = function(event) asked[event.buf], answered[event.buf] = nil, nil end,
  })
  vim.lsp.config('foretype', {
    cmd = M.config.cmd,
    filetypes = M.config.filetypes,
    root_markers = M.config.root_markers,
    init_options = next(M.config.settings) and M.config.settings or nil,
  })
  vim.lsp.enable('foretype')
  vim.lsp.inline_completion.enable()
  map_keys(M.config.keys)
end

return M
