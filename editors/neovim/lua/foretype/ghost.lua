-- Asks for suggestions in insert mode, shows one, and puts it in. One buffer at a time has one.

local offers = require('foretype.offer')

local M = { is_on = true }

local METHOD = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2
local namespace = vim.api.nvim_create_namespace('foretype')

local current -- { buf, client_id, list = offers, index, is_all: asked for by hand }
local request -- { client, id, place, tick }: under way
local sequence = 0
local dismissed -- where the user wants none: "buf:row:col:line"
local timer

M.delay_ms = 20
M.on_answer = function(_) end -- told the milliseconds of each answer

local function say(text) vim.notify('foretype: ' .. text) end

local function place_now()
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local buf = vim.api.nvim_get_current_buf()
  return { buf = buf, row = row - 1, col = col, line = vim.api.nvim_get_current_line() }
end

local function key_of(place)
  return ('%d:%d:%d:%s'):format(place.buf, place.row, place.col, place.line)
end

local function clear()
  if current and vim.api.nvim_buf_is_valid(current.buf) then
    vim.api.nvim_buf_clear_namespace(current.buf, namespace, 0, -1)
  end
  current = nil
end

local function is_inserting()
  return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

local function menu_has_choice()
  return vim.fn.pumvisible() == 1 and vim.fn.complete_info({ 'selected' }).selected ~= -1
end

--- The offer in view and what is left of it, nil if there is none.
local function showing()
  if not current then return nil end
  local place = place_now()
  if place.buf ~= current.buf then return nil end
  local offer = current.list[current.index]
  local left = offers.left(offer, place.row, place.col, place.line)
  if left then return offer, left, place end
end

--- `text` with spaces for tabs, which virtual text would send to the screen as they are.
function M.untabbed(text, column)
  local parts = {}
  for part, tab in text:gmatch('([^\t]*)(\t?)') do
    parts[#parts + 1] = part
    column = column + vim.fn.strdisplaywidth(part)
    if tab ~= '' then
      parts[#parts + 1] = (' '):rep(vim.bo.tabstop - column % vim.bo.tabstop)
      column = column + #parts[#parts]
    end
  end
  return table.concat(parts)
end

--- Draw what is left; false if nothing is.
local function draw()
  local offer, left, place = showing()
  if not offer or menu_has_choice() then
    if current then vim.api.nvim_buf_clear_namespace(current.buf, namespace, 0, -1) end
    return offer ~= nil
  end
  local lines = vim.split(offers.visible(offer, left), '\n', { plain = true })
  local below = {}
  for i = 2, #lines do below[#below + 1] = { { M.untabbed(lines[i], 0), 'ForetypeGhost' } } end
  local hint = #current.list > 1 and ('  (%d/%d)'):format(current.index, #current.list) or ''
  local column = vim.fn.strdisplaywidth(place.line:sub(1, place.col))
  local chunks = { { M.untabbed(lines[1], column), 'ForetypeGhost' } }
  if hint ~= '' and place.col == #place.line then chunks[2] = { hint, 'ForetypeHint' } end
  vim.api.nvim_buf_clear_namespace(current.buf, namespace, 0, -1)
  vim.api.nvim_buf_set_extmark(current.buf, namespace, place.row, place.col, {
    virt_text = chunks,
    virt_text_pos = 'inline',
    virt_lines = #below > 0 and below or nil,
    undo_restore = false,
  })
  return true
end

local function abort()
  if timer then timer:stop() end
  if request and request.client:is_stopped() == false then request.client:cancel_request(request.id) end
  request = nil
end

--- Show the next offer that still fits, or say that there is none.
local function turn(step)
  local before = current.index
  repeat
    current.index = (current.index - 1 + step) % #current.list + 1
  until showing() or current.index == before
  draw()
  if current.index == before then say('there is no other suggestion here') end
end

--- Show what was asked for; `step` if by hand: from what is in view to the next of all that there are.
local function receive(place, client, items, step)
  local function to_bytes(line, character)
    return vim.str_byteindex(line, client.offset_encoding, character, false)
  end
  local list = {}
  for _, item in ipairs(items) do
    local offer = offers.from_item(item, place, to_bytes)
    if offer then list[#list + 1] = offer end
  end
  local _, seen = showing()
  clear()
  if #list == 0 then
    if step then say('nothing to suggest here; :Foretype why says more') end
    return
  end
  current = { buf = place.buf, client_id = client.id, list = list, index = 1, is_all = step ~= nil }
  local _, first = showing()
  if not draw() then
    clear() -- something else was typed meanwhile; that is asked for by itself
  elseif step and first == seen then
    turn(step)
  end
end

--- Ask about the cursor's place; with a step by hand, which shows what there is, however unsure.
local function ask(step)
  local place = place_now()
  local client = vim.lsp.get_clients({ bufnr = place.buf, name = 'foretype' })[1]
  if not client or not client.initialized or not vim.bo[place.buf].modifiable then
    if step then say('nothing is suggested here; :Foretype why says more') end
    return
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = step and INVOKED or AUTOMATIC }
  sequence = sequence + 1
  local mine, started = sequence, vim.uv.hrtime()
  local sent, id = client:request(METHOD, params, function(err, result)
    if mine ~= sequence then return end -- an older one: never shown
    request = nil
    if err or not result or not is_inserting() or place.buf ~= vim.api.nvim_get_current_buf() then return end
    M.on_answer((vim.uv.hrtime() - started) / 1e6)
    receive(place, client, result.items or result, step)
  end, place.buf)
  local tick = vim.api.nvim_buf_get_changedtick(place.buf)
  request = sent and { client = client, id = id, place = key_of(place), tick = tick } or nil
end

local function is_wanted(buf)
  return M.is_on and vim.b[buf].foretype ~= false
end

--- The cursor or the text moved: keep what still fits, or ask.
function M.moved()
  if not is_inserting() then return end
  if current and draw() then return end
  local place = place_now()
  local is_asked = request and request.place == key_of(place) and not request.client:is_stopped()
  if is_asked and request.tick == vim.api.nvim_buf_get_changedtick(place.buf) then return end
  clear()
  abort()
  sequence = sequence + 1
  if not is_wanted(place.buf) or dismissed == key_of(place) then return end
  dismissed = nil
  local mine = sequence
  timer = timer or vim.uv.new_timer()
  timer:start(M.delay_ms, 0, vim.schedule_wrap(function()
    -- One that has run out is not stopped any more: what was asked since, by hand too, counts.
    if mine == sequence and is_inserting() then ask() end
  end))
end

function M.stop()
  sequence = sequence + 1
  clear()
  abort()
end

--- Say whether there is something to accept.
function M.has_offer()
  return showing() ~= nil and not menu_has_choice()
end

--- Put in `part` of what is left ("all", "word" or "line"); false if there is nothing.
function M.accept(part)
  local offer, left, place = showing()
  if not offer then return false end
  local text = part == 'all' and left or offers[part](left)
  local is_whole = text == left
  local last = place.col + (is_whole and #offer.over or 0)
  local lines = vim.split(text, '\n', { plain = true })
  if vim.fn.pumvisible() == 1 then vim.api.nvim_feedkeys(vim.keycode('<C-x><C-z>'), 'ni', false) end -- or it puts its own in place of this
  vim.go.undolevels = vim.go.undolevels -- what was typed before stays when this is undone
  vim.api.nvim_buf_set_text(place.buf, place.row, place.col, place.row, last, lines)
  local col = #lines == 1 and place.col + #text or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { place.row + #lines, col })
  if is_whole then
    local client = vim.lsp.get_client_by_id(current.client_id)
    if offer.command and client then client:exec_cmd(offer.command, { bufnr = place.buf }) end
    clear()
  elseif #lines > 1 then -- what is left stands on another line now
    for _, other in ipairs(current.list) do
      if other == offer then
        other.row, other.head = place.row + #lines - 1, lines[#lines]
        other.text = left:sub(#text + 1)
      end
    end
  end
  M.moved()
  return true
end

--- Show the next offer, or with a step of -1 the one before; asks for all of them first, whatever
--- the switches say.
function M.cycle(step)
  if showing() and current.is_all then return turn(step) end
  dismissed = nil
  abort()
  ask(step)
end

--- Hide the offer until the text or the cursor changes; false if there is none.
function M.dismiss()
  local offer, _, place = showing()
  if not offer then return false end
  M.stop()
  dismissed = key_of(place)
  return true
end

--- Follow the keys in `buf`.
function M.attach(buf, group)
  vim.api.nvim_clear_autocmds({ group = group, buffer = buf })
  vim.api.nvim_create_autocmd({ 'InsertEnter', 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, {
    group = group,
    buffer = buf,
    callback = vim.schedule_wrap(M.moved), -- InsertEnter comes before the mode has changed
  })
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'InsertChange', 'BufLeave' }, { group = group, buffer = buf, callback = M.stop })
end

return M
