-- foretype for Neovim 0.11 or newer: suggestions in grey as you type. See :help foretype.

local ghost = require('foretype.ghost')
local keys = require('foretype.keys')
local models = require('foretype.models')
local next_edit = require('foretype.next_edit')
local server = require('foretype.server')

local M = {}

local defaults = {
  cmd = { 'foretype', 'lsp' },
  filetypes = {
    'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact',
    'go', 'rust', 'java', 'c', 'cpp',
  },
  root_markers = { '.git' },
  settings = {}, -- sent as initializationOptions; see docs/editors.md
  delay_ms = 20, -- from the last key to the question
  keys = { -- false: no key
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-Down>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
    next_edit = '<Tab>', -- in normal mode: go to the next edit, then make it
    toggle = false,
  },
}

local function complain(text) vim.notify('foretype: ' .. text, vim.log.levels.ERROR) end

--- Accept the suggestion in view; false when there is none.
function M.accept() return ghost.has_offer() and ghost.accept('all') end
--- Accept its first word.
function M.accept_word() return ghost.has_offer() and ghost.accept('word') end
--- Accept its first line.
function M.accept_line() return ghost.has_offer() and ghost.accept('line') end
--- Show the next suggestion for this place, or ask for one.
function M.next() ghost.cycle(1) end
--- Show the one before.
function M.previous() ghost.cycle(-1) end
--- Hide the suggestion until something changes; false when there is none.
function M.dismiss() return ghost.dismiss() end
--- Go to the next edit, or make it where the cursor is there; false when there is none.
function M.next_edit() return next_edit.accept() end
--- End the server and start it anew.
M.restart = server.restart

--- Say whether suggestions are on.
function M.is_enabled() return ghost.is_on and vim.b.foretype ~= false end

local snoozing -- the timer of a pause

--- Switch suggestions on or off, for good: a pause ends.
function M.enable(is_on)
  if snoozing then snoozing:stop() end
  ghost.is_on, next_edit.is_on = is_on, is_on
  if not is_on then next_edit.stop() end
  if is_on then ghost.moved() else ghost.stop() end
  vim.cmd.redrawstatus({ bang = true })
end

function M.toggle()
  M.enable(not ghost.is_on)
  vim.notify('foretype: ' .. (ghost.is_on and 'on' or 'off'))
end

--- Off for some minutes.
function M.snooze(minutes)
  if type(minutes) ~= 'number' or not (minutes > 0) then return complain('snooze for how many minutes?') end
  M.enable(false)
  snoozing = vim.defer_fn(function() M.enable(true) end, minutes * 60000)
  vim.notify(('foretype: off for %g minutes'):format(minutes))
end

--- Say why there is what there is at the cursor.
function M.why()
  if not ghost.is_on then return vim.notify('foretype: off; :Foretype on') end
  if not M.is_enabled() then return vim.notify('foretype: off in this buffer: b:foretype is false') end
  server.why(function(words) vim.notify('foretype: ' .. words) end)
end

local SHOWS = { 'eager', 'balanced', 'quiet', 'off' }

--- Show more or less, until Neovim ends: "eager", "balanced", "quiet" or "off"; asks without a name.
function M.show(name)
  if not name then
    return vim.ui.select(SHOWS, { prompt = 'foretype: what is shown' }, function(picked)
      if picked then M.show(picked) end
    end)
  end
  if not vim.list_contains(SHOWS, name) then return complain(('show %q? It is one of: %s'):format(name, table.concat(SHOWS, ', '))) end
  vim.lsp.config('foretype', { init_options = { show = name } })
  server.restart()
  vim.notify('foretype: shows ' .. name)
end

--- A few words for a statusline: the state, how long the last answer took, your own model, and
--- whether a remote server is of no use now.
function M.status()
  if not M.is_enabled() then return 'foretype off' end
  if server.state ~= 'ready' then return 'foretype ' .. server.state end
  local words = { 'foretype' }
  if server.trouble then words[#words + 1] = 'remote!' end
  if server.model then words[#words + 1] = server.model end
  if server.latency_ms then words[#words + 1] = ('%d ms'):format(server.latency_ms) end
  return table.concat(words, ' ')
end

--- Choose the model of this repository: by name, or from a list.
M.models = models.choose

--- Run `foretype` with these arguments in a terminal: 'tune', '--dry-run'.
function M.run(...) models.run({ ... }) end

local commands = {
  on = function() M.enable(true) end,
  off = function() M.enable(false) end,
  toggle = function() M.toggle() end,
  snooze = function(minutes) M.snooze(tonumber(minutes or 15)) end,
  restart = function() M.restart() end,
  show = function(name) M.show(name) end,
  why = function() M.why() end,
  next = function() next_edit.ask() end,
  status = function() vim.notify(M.status() .. (server.trouble and ('\nremote: ' .. server.trouble) or '')) end,
  models = function(name) M.models(name) end,
  tune = function(...) M.run('tune', ...) end,
  stats = function() M.run('stats') end,
  doctor = function() M.run('doctor') end,
  log = function() vim.cmd.tabnew(vim.lsp.log.get_filename()) end,
  health = function() vim.cmd.checkhealth('foretype') end,
}

local function make_command()
  vim.api.nvim_create_user_command('Foretype', function(options)
    local name = options.fargs[1] or 'status'
    if not commands[name] then return complain(('no command %q'):format(name)) end
    commands[name](unpack(options.fargs, 2))
  end, {
    nargs = '*',
    desc = 'foretype: on, off, toggle, snooze MINUTES, show, why, next, restart, status, models, tune, stats, doctor, log, health',
    complete = function(start, line)
      local command = line:match('Foretype%s+(%S+)%s')
      local names = command == 'show' and SHOWS or not command and vim.fn.sort(vim.tbl_keys(commands)) or {}
      return vim.tbl_filter(function(name) return vim.startswith(name, start) end, names)
    end,
  })
end

--- The menu of the right mouse button.
local function make_menu()
  for name, text in pairs({ why = 'Why nothing here?', show = 'Show more or less...' }) do
    vim.cmd(('amenu PopUp.%s <Cmd>Foretype %s<CR>'):format(vim.fn.escape('foretype: ' .. text, ' .'), name))
  end
end

--- Let a suggestion look like Neovim's own, unless the user has chosen. In a terminal without `termguicolors`
--- that group is often the colour of typed text (it is in Neovim's default scheme): bright black then.
local function set_ghost_colour()
  local group = vim.fn.hlexists('ComplHint') == 1 and 'ComplHint' or 'NonText'
  local chosen = vim.api.nvim_get_hl(0, { name = 'ForetypeGhost' })
  if next(chosen) and chosen.link ~= group then return end
  local colour = vim.api.nvim_get_hl(0, { name = group, link = false })
  local is_seen = colour.ctermfg or next(colour.cterm or {})
  vim.api.nvim_set_hl(0, 'ForetypeGhost', is_seen and { link = group } or { fg = colour.fg, ctermfg = 8 })
end

--- What of `given` is of use; the rest is named, and stays at what it was.
local function usable(given, known, path)
  local kept = {}
  for name, value in pairs(given) do
    local is_right = type(value) == type(known[name])
    if known == defaults.keys then is_right = known[name] ~= nil and (type(value) == 'string' or value == false) end
    if is_right then
      kept[name] = value
    else
      local like = known[name] == nil and 'there is no such option' or 'it should be like ' .. vim.inspect(known[name])
      complain(('setup(): %s = %s is not used: %s'):format(path .. name, vim.inspect(value), like))
    end
  end
  return kept
end

--- Start foretype for its file types; `opts` overrides the defaults above.
function M.setup(opts)
  if vim.fn.has('nvim-0.11') == 0 then
    vim.notify('foretype needs Neovim 0.11 or newer', vim.log.levels.ERROR)
    return
  end
  opts = usable(opts or {}, defaults, '')
  opts.keys = usable(opts.keys or {}, defaults.keys, 'keys.')
  M.config = vim.tbl_deep_extend('force', defaults, opts)
  set_ghost_colour()
  vim.api.nvim_create_autocmd('ColorScheme', { group = vim.api.nvim_create_augroup('foretype_colour', {}), callback = set_ghost_colour })
  vim.api.nvim_set_hl(0, 'ForetypeHint', { default = true, link = vim.fn.hlexists('ComplHintMore') == 1 and 'ComplHintMore' or 'MoreMsg' })
  vim.api.nvim_set_hl(0, 'ForetypeOld', { default = true, link = 'DiffDelete' })
  next_edit.watch_escape()
  ghost.delay_ms = M.config.delay_ms
  make_command()
  make_menu()
  keys.map(M.config.keys)
  server.start(M.config)
end

return M
