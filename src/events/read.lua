-- Reads what no one in the group has read yet, and reports whether something may have been missed before it.
--
-- KEYS  stream, the mark of the server whose events are known to be complete
-- ARGV  group, consumer, most entries
-- Returns { gap (`new`, `trimmed`, `server` or empty), the present server's mark, id that was read last, entries }.
--
-- The mark is removed with every gap and set by the reader after it has handled the gap: a reader that dies
-- in between finds no mark when it comes back.
local stream, mark = KEYS[1], KEYS[2]
local group_name = ARGV[1]

local function fields(flat)
  local named = {}
  for n = 1, #flat, 2 do
    named[flat[n]] = flat[n + 1]
  end
  return named
end

-- Ids are larger than a number can hold exactly, and have no leading zeros.
local function is_greater(a, b)
  local a1, a2 = string.match(a, '(%d+)-(%d+)')
  local b1, b2 = string.match(b, '(%d+)-(%d+)')
  if a1 == b1 then
    a1, b1 = a2, b2
  end
  return #a1 > #b1 or (#a1 == #b1 and a1 > b1)
end

local function group()
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local one = fields(flat)
    if one['name'] == group_name then
      return one
    end
  end
end

local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local gap = ''
local ours = group()
if not ours then
  redis.call('UNLINK', mark)
  -- From the beginning: an event that is applied again only ends an answer early, but one that is skipped
  -- leaves it stale.
  redis.call('XGROUP', 'CREATE', stream, group_name, '0', 'MKSTREAM')
  ours = group()
  gap = 'new'
end
local known = redis.call('GET', mark)
if gap == '' and known ~= server then
  gap = known and 'server' or 'new'
end

-- Streams lose entries at their head. If the head is beyond what the group has read, everything that is left is
-- unread, and what was added is the sum of what was read, what is left and what was lost.
local info = fields(redis.call('XINFO', 'STREAM', stream))
local read, added, left = ours['entries-read'], info['entries-added'], info['length']
local last = ours['last-delivered-id']
if last == info['last-generated-id'] then
  if left == 0 and read ~= added then
    redis.call('XGROUP', 'SETID', stream, group_name, last, 'ENTRIESREAD', added)
  end
elseif left == 0 or is_greater(info['recorded-first-entry-id'], last) then
  if added - left ~= (read or -1) then
    -- If the group cannot say how much it has read, only a stream that never lost anything is complete.
    if read or added ~= left then
      redis.call('UNLINK', mark)
      if gap == '' then
        gap = 'trimmed'
      end
    end
    redis.call('XGROUP', 'SETID', stream, group_name, last, 'ENTRIESREAD', added - left)
  end
end

local entries = {}
local reply = redis.call('XREADGROUP', 'GROUP', group_name, ARGV[2], 'COUNT', ARGV[3], 'STREAMS', stream, '>')
if reply then
  entries = reply[1][2]
  last = entries[#entries][1]
end
return { gap, server, last, entries }
