-- What the server tells of itself (`foretype.status`), in words. Knows no editor.

local M = {}

--- Whether a remote server that the user wants is of no use now; then `why` in a sentence.
function M.trouble(status)
  local remote = status.remote
  if not remote or not remote.mode or remote.mode == 'off' or remote.state == 'ready' then return nil end
  local problem = (remote.problem and remote.problem ~= '') and (' (' .. remote.problem .. ')') or ''
  if remote.state == 'needs consent' then return 'nothing is sent' .. problem end
  local rest = remote.mode == 'only' and 'no suggestions until it answers' or 'suggestions come from this machine alone'
  return ('%s is degraded%s; %s'):format(remote.host, problem, rest)
end

--- The name of the user's own model that serves, nil for the base.
function M.own_model(status)
  local model = status.model
  if model and model.serving and model.serving ~= '' and model.serving ~= model.base then return model.serving end
end

--- A line for each model that may serve here: { name, label }; none while the settings decide.
function M.choices(shelf)
  if (shelf.settings_model or '') ~= '' then return {} end
  local list = {}
  local function add(name, text)
    list[#list + 1] = { name = name, label = (name == shelf.serving and '* ' or '  ') .. text }
  end
  add('base', 'base, came with the server')
  for _, model in ipairs(shelf.models or {}) do
    if model.fits then add(model.name, ('%s (%s, %s)'):format(model.name, model.kind, model.created:sub(1, 10))) end
  end
  return list
end

return M
