-- The server's life: starts it, starts it again when it ends by itself, knows what it is doing.

local ghost = require('foretype.ghost')

local M = { state = 'not started', latency_ms = nil }

local FIRST_MS, MAX_RESTARTS, WINDOW_MS = 1000, 5, 180000
local POLL_MS = 300
local ends = {} -- when it ended by itself
local is_stopping = false

local function set_state(state)
  M.state = state
  vim.schedule(function()
    vim.api.nvim_exec_autocmds('User', { pattern = 'ForetypeStatus', modeline = false })
    vim.cmd.redrawstatus({ bang = true })
  end)
end

--- Ask the server until its model is loaded, or never will be.
local function watch_loading(client)
  client:request('workspace/executeCommand', { command = 'foretype.status' }, function(_, status)
    if type(status) ~= 'table' then return end
    if status.engine == 'ready' or status.engine == 'failed' then
      set_state(status.engine)
    else
      vim.defer_fn(function()
        if not client:is_stopped() then watch_loading(client) end
      end, POLL_MS)
    end
  end)
end

local function ended(code)
  if is_stopping then return set_state('stopped') end
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
  vim.notify(('foretype: the server ended (code %d); starting again in %d s'):format(code, wait_ms / 1000), vim.log.levels.WARN)
  vim.defer_fn(function() vim.lsp.enable('foretype') end, wait_ms)
end

--- Describe the server to Neovim and start it for the file types of `config`.
function M.start(config)
  local group = vim.api.nvim_create_augroup('foretype', {})
  is_stopping = false
  vim.lsp.config('foretype', {
    cmd = config.cmd,
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
      if buf == vim.api.nvim_get_current_buf() then ghost.moved() end
    end,
    on_exit = vim.schedule_wrap(function(code) ended(code) end),
  })
  ghost.on_answer = function(ms) M.latency_ms = ms end
  vim.api.nvim_create_autocmd('VimLeavePre', { group = group, callback = function() is_stopping = true end })
  vim.lsp.enable('foretype')
end

--- End the server and start it anew.
function M.restart()
  ends, is_stopping = {}, true
  ghost.stop()
  local clients = vim.lsp.get_clients({ name = 'foretype' })
  for _, client in ipairs(clients) do client:stop(true) end
  vim.wait(3000, function() return #vim.lsp.get_clients({ name = 'foretype' }) == 0 end, 20)
  is_stopping = false
  vim.lsp.enable('foretype')
end

return M
