-- The keys: each does its work where there is some, and else what it did before.

local ghost = require('foretype.ghost')
local next_edit = require('foretype.next_edit')

local M = {}

--- What `key` is mapped to everywhere; a buffer's own mapping goes before ours there, and is no other's.
local function mapping(mode, key)
  for _, found in ipairs(vim.api.nvim_get_keymap(mode)) do
    if vim.keycode(found.lhs) == vim.keycode(key) then return found end
  end
end

local functions = {} -- that keys called before

--- Call what a key called before.
function M.call(number) functions[number]() end

--- The value of a mapping's expression, in which keys are written by name.
local function evaluated(expression)
  return vim.api.nvim_eval((vim.keycode(expression):gsub('\128\254X', '\128')))
end

--- What keys the mapping `before` stands for now.
local function keys_of(before)
  if before.expr == 1 then
    local keys = before.callback and (before.callback() or '') or evaluated(before.rhs)
    return before.replace_keycodes == 1 and vim.keycode(keys) or keys
  end
  if not before.callback then return vim.keycode(before.rhs or '') end
  functions[#functions + 1] = before.callback
  before.rhs, before.callback = ("<Cmd>lua require('foretype.keys').call(%d)<CR>"):format(#functions), nil
  return keys_of(before)
end

--- Map `key` to do something if there is something to do it with, and else what it did before.
local function map_if(mode, key, is_there, method, desc)
  local before = mapping(mode, key)
  local ours, typed = vim.keycode(("<Cmd>lua require('foretype').%s()<CR>"):format(method)), vim.keycode(key)
  vim.keymap.set(mode, key, function()
    if is_there() then return ours end
    return before and keys_of(before) or typed
  end, {
    expr = true,
    replace_keycodes = false,
    remap = not before or before.noremap == 0, -- a key that stands for itself still ends an abbreviation
    desc = 'foretype: ' .. desc,
  })
end

local function map_if_offered(key, method, desc)
  if key then map_if('i', key, ghost.has_offer, method, desc) end
end

--- Map the keys that are not false.
function M.map(keys)
  map_if_offered(keys.accept, 'accept', 'accept the suggestion')
  map_if_offered(keys.accept_word, 'accept_word', 'accept a word of it')
  map_if_offered(keys.accept_line, 'accept_line', 'accept a line of it')
  map_if_offered(keys.dismiss, 'dismiss', 'dismiss the suggestion')
  if keys.next_edit then map_if('n', keys.next_edit, next_edit.has_edit, 'next_edit', 'go to the next edit, make it') end
  local always = { next = { 'i', 'next suggestion' }, previous = { 'i', 'previous suggestion' }, toggle = { { 'n', 'i' }, 'on or off' } }
  for name, how in pairs(always) do
    if keys[name] then vim.keymap.set(how[1], keys[name], require('foretype')[name], { desc = 'foretype: ' .. how[2] }) end
  end
end

return M
