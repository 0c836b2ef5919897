-- The server's life: starts it, starts it again when it ends by itself, knows what it is doing.

local ghost = require('foretype.ghost')
local next_edit = require('foretype.next_edit')
local told = require('foretype.told')

local M = { state = 'not started', latency_ms = nil, trouble = nil, model = nil }

local FIRST_MS, MAX_RESTARTS, WINDOW_MS = 1000, 5, 180000
local POLL_MS = 300 -- while the model loads
local LOOK_MS = 5000 -- afterwards, while answers come
local ends = {} -- when it ended by itself
local is_stopping = false
local looked_ms = 0

local function set_state(state)
  M.state = state
  M.announce()
end

--- Tell statuslines that there is something new.
function M.announce()
  vim.schedule(function()
    vim.api.nvim_exec_autocmds('User', { pattern = 'ForetypeStatus', modeline = false })
    vim.cmd.redrawstatus({ bang = true })
  end)
end

--- Have the server of this buffer, or any, carry out a command of its own; `on_result(nil, why)` if it cannot.
function M.command(name, argument, on_result)
  local client = vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1] or vim.lsp.get_clients({ name = 'foretype' })[1]
  if not client then return on_result(nil, 'no server runs; open a file first') end
  client:request('workspace/executeCommand', { command = name, arguments = { argument } }, function(err, result)
    if type(result) == 'table' then return on_result(result) end
    on_result(nil, err and err.message or 'the server does not answer')
  end)
end

--- Keep what the server tells of its model and of a remote server.
local function note(status)
  if not status then return end
  local trouble, model = told.trouble(status), told.own_model(status)
  local is_new = trouble ~= M.trouble or model ~= M.model
  M.trouble, M.model = trouble, model
  if is_new then M.announce() end
end

--- Ask the server how it is.
function M.look()
  looked_ms = vim.uv.now()
  M.command('foretype.status', { uri = vim.uri_from_bufnr(0) }, note)
end

local function answered(ms)
  M.latency_ms = ms
  if vim.uv.now() - looked_ms >= LOOK_MS then M.look() end
end

--- Ask the server until its model is loaded, or never will be.
local function watch_loading(client)
  client:request('workspace/executeCommand', { command = 'foretype.status' }, function(_, status)
    if type(status) ~= 'table' then return end
    if status.engine == 'ready' or status.engine == 'failed' then
      note(status)
      set_state(status.engine)
    else
      vim.defer_fn(function()
        if not client:is_stopped() then watch_loading(client) end
      end, POLL_MS)
    end
  end)
end

local function ended(code, signal)
  local is_in_order = code == 0 and signal == 0 -- someone asked it to end: `:lsp stop`, `vim.lsp.enable('foretype', false)`
  if is_stopping or is_in_order then return set_state('stopped') end
  local now = vim.uv.now()
  ends = vim.tbl_filter(function(at) return now - at < WINDOW_MS end, ends)
  if #ends >= MAX_RESTARTS then
    set_state('failed')
    vim.notify('foretype: the server ended again and again; see :checkhealth foretype', vim.log.levels.ERROR)
    return
  end
  ends[#ends + 1] = now
  set_state('restarting')
  local wait_ms = FIRST_MS * 2 ^ (#ends - 1)
  vim.notify(('foretype: the server ended (%s %d); starting again in %d s'):format(signal == 0 and 'code' or 'signal', signal == 0 and code or signal, wait_ms / 1000), vim.log.levels.WARN)
  vim.defer_fn(function() vim.lsp.enable('foretype') end, wait_ms)
end

local config -- of the last start

--- What to say where the program is not there; nil if it is.
function M.missing()
  local program = config.cmd[1]
  return vim.fn.executable(program) == 0 and ('foretype: cannot run %q; install it or set cmd'):format(program) or nil
end

local function warn_if_missing()
  if M.missing() then vim.notify(M.missing(), vim.log.levels.WARN) end
end

--- Start it, or say so once a file is opened that it would serve: an uninstalled program is no fault
--- of every start.
local function begin()
  local group = vim.api.nvim_create_augroup('foretype_missing', {})
  if not M.missing() then return vim.lsp.enable('foretype') end
  set_state('not installed')
  vim.api.nvim_create_autocmd('FileType', { group = group, pattern = config.filetypes, once = true, callback = warn_if_missing })
end

--- Describe the server to Neovim and start it for the file types of `wanted`.
function M.start(wanted)
  config = wanted
  local group = vim.api.nvim_create_augroup('foretype', {})
  is_stopping = false
  vim.lsp.config('foretype', {
    cmd = config.cmd,
    cmd_env = { PYTHONPATH = '' }, -- a repository there would run its `sitecustomize` before our first line
    filetypes = config.filetypes,
    root_markers = config.root_markers,
    init_options = next(config.settings) and config.settings or nil,
    capabilities = { textDocument = { inlineCompletion = { dynamicRegistration = false } } },
    on_init = function(client)
      set_state('loading')
      watch_loading(client)
    end,
    on_attach = function(client, buf)
      -- Neovim 0.12's own would show everything a second time, if someone has it on.
      if vim.lsp.inline_completion then vim.lsp.inline_completion.enable(false, { client_id = client.id }) end
      ghost.attach(buf, group)
      next_edit.attach(buf, group)
      if buf == vim.api.nvim_get_current_buf() then ghost.moved() end
    end,
    on_exit = vim.schedule_wrap(ended),
  })
  ghost.on_answer = answered
  vim.api.nvim_create_autocmd('VimLeavePre', { group = group, callback = function() is_stopping = true end })
  begin()
end

--- End the server and start it anew.
function M.restart()
  ends, is_stopping = {}, true
  ghost.stop()
  -- Asked to end it still writes its statistics; only one that does not answer is killed.
  for _, is_forced in ipairs({ false, true }) do
    for _, client in ipairs(vim.lsp.get_clients({ name = 'foretype' })) do client:stop(is_forced) end
    if vim.wait(3000, function() return #vim.lsp.get_clients({ name = 'foretype' }) == 0 end, 20) then break end
  end
  is_stopping = false
  begin()
  warn_if_missing()
end

--- Tell `on_words` why there is what there is at the cursor; the server is asked about the place first.
function M.why(on_words)
  local client = vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1]
  if not client then return on_words(('no server serves this buffer: %s'):format(M.state)) end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = 2 }
  client:request('textDocument/inlineCompletion', params, function()
    M.command('foretype.why', vim.empty_dict(), function(told, why)
      on_words(told and (told.words or told.outcome) or why)
    end)
  end, 0)
end

return M
