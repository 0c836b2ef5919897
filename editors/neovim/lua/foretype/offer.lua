-- One suggestion as text: what is left of it now, and which part to take. Knows no editor.
--
-- An offer is { row, head, text, over, after }: on line `row`, `text` comes after `head`, in place of
-- `over`, and before `after`. What was typed since it was asked for is no part of it: it is read off
-- the line, so that typing along needs no new answer and doubles nothing.

local M = {}

--- The offer of an item that was asked for at byte `col` of `line`; nil if it fits nowhere there.
function M.from_item(item, place, to_bytes)
  local text = type(item.insertText) == 'table' and item.insertText.value or item.insertText
  local first, last = place.col, place.col
  if item.range then
    local from, till = item.range.start, item.range['end']
    if from.line ~= place.row or till.line ~= place.row then return nil end
    first, last = to_bytes(place.line, from.character), to_bytes(place.line, till.character)
  end
  if first > place.col or last < place.col then return nil end
  return {
    row = place.row,
    head = place.line:sub(1, first),
    text = (text:gsub('\r\n', '\n')),
    over = place.line:sub(place.col + 1, last),
    after = place.line:sub(last + 1),
    command = item.command,
  }
end

--- What is left of the offer with the cursor at byte `col` of `line`; nil if it no longer fits.
function M.left(offer, row, col, line)
  if row ~= offer.row or col < #offer.head or line:sub(1, #offer.head) ~= offer.head then return nil end
  if line:sub(col + 1) ~= offer.over .. offer.after then return nil end
  local typed = line:sub(#offer.head + 1, col)
  if not vim.startswith(offer.text, typed) or #typed >= #offer.text then return nil end
  return offer.text:sub(#typed + 1)
end

--- What to draw: less what stands there already.
function M.visible(offer, left)
  if offer.over ~= '' and vim.endswith(left, offer.over) then return left:sub(1, #left - #offer.over) end
  return left
end

local WORDS = { '^%s*[%w_\128-\255]+', '^%s*[^%w_%s\128-\255]+', '^%s+' }

--- The first word, with the white space before it.
function M.word(left)
  for _, pattern in ipairs(WORDS) do
    local part = left:match(pattern)
    if part then return part end
  end
  return left
end

--- The first line; the next one if the first is empty.
function M.line(left)
  return left:match('^\n?[^\n]*')
end

return M
