-- :Foretype models and :Foretype tune - which weights serve the repository at hand.

local server = require('foretype.server')
local told = require('foretype.told')

local M = {}

local SWAPPED_MS = 3000 -- the server changes models at its next quiet moment

local function say(message, level) vim.notify('foretype: ' .. message, level or vim.log.levels.INFO) end

local function place() return { uri = vim.uri_from_bufnr(0) } end

local function use(name)
  local argument = vim.tbl_extend('force', place(), { name = name })
  server.command('foretype.useModel', argument, function(answer, why)
    if not answer then return say(why, vim.log.levels.WARN) end
    say(answer.message, answer.ok and vim.log.levels.INFO or vim.log.levels.WARN)
    if answer.ok then vim.defer_fn(server.look, SWAPPED_MS) end
  end)
end

--- Use the model `name` for this repository; without a name, ask which.
function M.choose(name)
  if name then return use(name) end
  server.command('foretype.models', place(), function(shelf, why)
    if not shelf then return say(why, vim.log.levels.WARN) end
    if (shelf.message or '') ~= '' then say(shelf.message, vim.log.levels.WARN) end
    if (shelf.settings_model or '') ~= '' then
      return say(('the setting `model` names %s, and wins'):format(shelf.settings_model))
    end
    vim.ui.select(told.choices(shelf), {
      prompt = 'foretype: the model that suggests here',
      format_item = function(choice) return choice.label end,
    }, function(choice)
      if choice then use(choice.name) end
    end)
  end)
end

--- Run a command of `foretype` in a terminal of a new tab.
function M.run(arguments)
  local missing = server.missing()
  if missing then return vim.notify(missing, vim.log.levels.ERROR) end
  local program = {}
  for _, word in ipairs(require('foretype').config.cmd) do
    if word == 'lsp' then break end
    program[#program + 1] = word
  end
  local root = vim.fs.root(0, '.git') or vim.fn.getcwd()
  vim.cmd.tabnew()
  vim.fn.jobstart(vim.list_extend(program, arguments), { term = true, cwd = root })
  vim.cmd.startinsert()
end

return M
