-- :checkhealth foretype - what is there, what is missing, and how to mend it.

local M = {}

local health = vim.health
local told = require('foretype.told')

local TIMEOUT_MS = 60000

local function check_program(cmd)
  if vim.fn.executable(cmd[1]) == 0 then
    health.error(('cannot run %q'):format(cmd[1]), { 'install it: pipx install foretype, or uv tool install foretype, from a checkout', 'or give its full path: setup({ cmd = { "/path/to/foretype", "lsp" } })' })
    return false
  end
  health.ok(('%s is %s'):format(cmd[1], vim.fn.exepath(cmd[1])))
  return true
end

local function check_remote(status)
  local remote, trouble = status.remote or { mode = 'off' }, told.trouble(status)
  if trouble then
    health.warn('remote: ' .. trouble, { 'see docs/remote.md, and: foretype doctor' })
  elseif remote.mode ~= 'off' then
    health.ok(('remote: %s, %s'):format(remote.host, remote.mode))
  end
end

local function check_server()
  local clients = vim.lsp.get_clients({ name = 'foretype' })
  if #clients == 0 then
    health.info('no server runs: open a file of a type in `filetypes`')
    return
  end
  for _, client in ipairs(clients) do
    local reply = client:request_sync('workspace/executeCommand', { command = 'foretype.status' }, TIMEOUT_MS, 0)
    local status = reply and reply.result
    if type(status) ~= 'table' then
      health.error('the server does not answer', { 'restart it: :Foretype restart' })
    elseif status.engine == 'failed' then
      health.error('the model cannot be used', { 'see :Foretype log', 'run in a shell: foretype doctor' })
    else
      health.ok(('the server answers: model %s, %d documents, %d answers'):format(status.engine, status.documents, status.answered))
      local model = status.model or {}
      if (model.serving or '') ~= '' then
        health.info(('serving: %s%s'):format(model.serving, told.own_model(status) and ', your own' or ''))
      end
      check_remote(status)
    end
  end
end

local function check_keys(keys)
  for name, key in pairs(keys) do
    local map = key and vim.fn.maparg(key, 'i', false, true) or nil
    if map and not vim.startswith(map.desc or '', 'foretype') then
      health.warn(('%s (%s) is mapped to something else'):format(key, name), { 'call setup() after it, or choose another key' })
    end
  end
end

function M.check()
  health.start('foretype')
  if vim.fn.has('nvim-0.11') == 0 then
    health.error('Neovim 0.11 or newer is needed')
    return
  end
  health.ok('Neovim ' .. tostring(vim.version()))
  local config = require('foretype').config
  if not config then
    health.error('not set up', { "put require('foretype').setup() into your configuration" })
    return
  end
  if not check_program(config.cmd) then return end
  check_server()
  check_keys(config.keys)
  health.info(require('foretype').is_enabled() and 'suggestions are on' or 'suggestions are off: :Foretype on')
end

return M
