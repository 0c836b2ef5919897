-- The next edit: asks what is due after a change, draws it, jumps to it and makes it.

local untabbed = require('foretype.ghost').untabbed

local M = { is_on = true, delay_ms = 100 }

local METHOD = 'textDocument/copilotInlineEdit'
local namespace = vim.api.nvim_create_namespace('foretype_next_edit')

local current -- { buf, tick, client_id, edit, row, stop, old, new }: first row, the row behind, lines
local sequence = 0
local timer

local function clear()
  if current and vim.api.nvim_buf_is_valid(current.buf) then
    vim.api.nvim_buf_clear_namespace(current.buf, namespace, 0, -1)
  end
  current = nil
end

--- The edit in view, nil if its text has changed since.
local function showing()
  if not current or current.buf ~= vim.api.nvim_get_current_buf() then return nil end
  if current.tick ~= vim.api.nvim_buf_get_changedtick(current.buf) then return nil end
  return current
end

--- Whether a place in `text` is inside a character.
local function is_inside(text, place)
  local byte = text:byte(place + 1)
  return byte and byte >= 0x80 and byte < 0xC0
end

--- Where two lines begin and end to differ, in bytes: first, last of `old`, last of `new`.
local function difference(old, new)
  local shortest = math.min(#old, #new)
  local first, tail = 0, 0
  while first < shortest and old:byte(first + 1) == new:byte(first + 1) do first = first + 1 end
  while tail < shortest - first and old:byte(#old - tail) == new:byte(#new - tail) do tail = tail + 1 end
  while is_inside(old, first) or is_inside(new, first) do first = first - 1 end
  while is_inside(old, #old - tail) or is_inside(new, #new - tail) do tail = tail - 1 end
  return first, #old - tail, #new - tail
end

local function draw_line(found)
  local old, new = found.old[1], found.new[1]
  local first, last, new_last = difference(old, new)
  if last > first then
    vim.api.nvim_buf_set_extmark(found.buf, namespace, found.row, first, { end_col = last, hl_group = 'ForetypeOld' })
  end
  local text = untabbed(new:sub(first + 1, new_last), vim.fn.strdisplaywidth(old:sub(1, last)))
  if text ~= '' then
    vim.api.nvim_buf_set_extmark(found.buf, namespace, found.row, last, {
      virt_text = { { text, 'ForetypeGhost' } },
      virt_text_pos = 'inline',
    })
  end
end

local function draw_lines(found)
  for row = found.row, found.stop - 1 do
    vim.api.nvim_buf_set_extmark(found.buf, namespace, row, 0, { end_col = #found.old[row - found.row + 1], hl_group = 'ForetypeOld' })
  end
  local below = {}
  for _, line in ipairs(found.new) do
    below[#below + 1] = { { untabbed(line, 0), 'ForetypeGhost' } }
  end
  if #below > 0 then
    local row = math.max(found.stop - 1, 0)
    local is_above = found.stop == found.row and found.row == 0
    vim.api.nvim_buf_set_extmark(found.buf, namespace, row, 0, { virt_lines = below, virt_lines_above = is_above })
  end
end

local function draw()
  local found = current
  vim.api.nvim_buf_clear_namespace(found.buf, namespace, 0, -1)
  if #found.old == 1 and #found.new == 1 then draw_line(found) else draw_lines(found) end
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  if row < found.row or row >= math.max(found.stop, found.row + 1) then
    local hint = ('  next edit: line %d'):format(found.row + 1)
    vim.api.nvim_buf_set_extmark(found.buf, namespace, row, 0, { virt_text = { { hint, 'ForetypeHint' } }, virt_text_pos = 'eol' })
  end
end

--- Keep an edit that the server gave for the text as it is now.
local function take(buf, client, edit)
  local from, till = edit.range.start, edit.range['end']
  local whole = till.character == 0 and (till.line > from.line or edit.text:sub(-1) == '\n')
  local stop = whole and till.line or till.line + 1
  local new = edit.text == '' and {} or vim.split((edit.text:gsub('\r\n', '\n')), '\n', { plain = true })
  if whole and new[#new] == '' then new[#new] = nil end
  current = {
    buf = buf, tick = vim.api.nvim_buf_get_changedtick(buf), client_id = client.id, edit = edit,
    row = from.line, stop = stop, old = vim.api.nvim_buf_get_lines(buf, from.line, stop, false), new = new,
  } -- stylua: ignore
  draw()
end

local function ask(by_hand)
  local buf = vim.api.nvim_get_current_buf()
  local client = vim.lsp.get_clients({ bufnr = buf, name = 'foretype' })[1]
  if not by_hand and (not M.is_on or vim.b[buf].foretype == false) then return end
  if not client or not client.initialized or not vim.bo[buf].modifiable then
    if by_hand then vim.notify('foretype: nothing is suggested here; :Foretype why says more') end
    return
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.textDocument.version = vim.lsp.util.buf_versions[buf]
  params.context = { triggerKind = by_hand and 1 or 2 }
  sequence = sequence + 1
  local mine, tick = sequence, vim.api.nvim_buf_get_changedtick(buf)
  client:request(METHOD, params, function(err, result)
    if mine ~= sequence or (err and not by_hand) then return end
    if buf ~= vim.api.nvim_get_current_buf() or tick ~= vim.api.nvim_buf_get_changedtick(buf) then return end
    clear()
    local edit = type(result) == 'table' and result.edits and result.edits[1]
    if edit then
      take(buf, client, edit)
    elseif by_hand then
      vim.notify('foretype: no edit is due here')
    end
  end, buf)
end

--- Ask in a moment, unless something happens before.
function M.moved()
  if current and not showing() then clear() end
  local mine = sequence
  timer = timer or vim.uv.new_timer()
  timer:start(M.delay_ms, 0, vim.schedule_wrap(function()
    if mine == sequence then ask() end -- neither hidden nor asked by hand since
  end))
end

--- Ask by hand: what there is, however unsure.
function M.ask() ask(true) end

--- Say whether there is an edit to make.
function M.has_edit() return showing() ~= nil end

--- Go to the edit; where the cursor is there already, make it. False if there is none.
function M.accept()
  local found = showing()
  if not found then return false end
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  if row < found.row or row >= math.max(found.stop, found.row + 1) then
    vim.cmd("normal! m'")
    local last = vim.api.nvim_buf_line_count(found.buf)
    vim.api.nvim_win_set_cursor(0, { math.min(found.row + 1, last), 0 })
    vim.cmd('normal! ^')
    draw()
    return true
  end
  local client = vim.lsp.get_client_by_id(found.client_id)
  clear()
  if not client then return false end
  local change = { range = found.edit.range, newText = found.edit.text }
  vim.go.undolevels = vim.go.undolevels -- what was typed before stays when this is undone
  vim.lsp.util.apply_text_edits({ change }, found.buf, client.offset_encoding)
  M.moved()
  return true
end

--- Hide the edit for good; false if there is none.
function M.dismiss()
  local found = showing()
  if not found then return false end
  M.stop() -- an answer on its way may be the same edit
  local client = vim.lsp.get_client_by_id(found.client_id)
  if client then client:exec_cmd({ title = 'dismiss', command = 'foretype.dismissNextEdit' }, { bufnr = found.buf }) end
  return true
end

function M.stop()
  sequence = sequence + 1
  if timer then timer:stop() end
  clear()
end

--- Follow the changes in `buf`. While a line is being typed nothing is drawn.
function M.attach(buf, group)
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'TextChanged', 'BufEnter' }, { group = group, buffer = buf, callback = M.moved })
  vim.api.nvim_create_autocmd({ 'InsertEnter', 'BufLeave', 'TextChangedI' }, { group = group, buffer = buf, callback = M.stop })
  vim.api.nvim_create_autocmd('CursorMoved', {
    group = group,
    buffer = buf,
    callback = function()
      if showing() then draw() else clear() end
    end,
  })
end

--- Let Esc in normal mode hide the edit too, whatever it does besides.
function M.watch_escape()
  local escape = vim.keycode('<Esc>')
  vim.on_key(function(_, typed)
    if typed == escape and current and vim.api.nvim_get_mode().mode == 'n' then vim.schedule(M.dismiss) end
  end, namespace)
end

return M
