-- Applies changes to the clock of one bucket, and detaches the sets of those that depend on what changed.
--
-- KEYS  clock, then for each name that a change ends: its set, and where to move it; none for `entry`, one pair
--       for `everything`
-- ARGV  nonce, compaction interval in ms, most marks, `first` or `again`, number of changes, then for each change:
--       kind (`change`, `release`, `hold`, `entry` or `everything`), id of the document that it tells of (or empty),
--       that document's version from now on (or empty), number of names, the id of each
--       What comes again comes from an outbox, maybe after newer changes. The version that it tells is not registered:
--       it may be an old one, and a change back to it would look like none.
-- Returns { online replicas, whether marks are to be dropped, then for each change the number of entries detached,
--           or -1 if it told the version that is registered }.
local clock = KEYS[1]
local i, s, f, replication = open(clock, ARGV[1])
local again = ARGV[4] == 'again'
local key, at = 2, 6
local result = { 0, 0 }
local drops = 0
for _ = 1, tonumber(ARGV[5]) do
  local kind, document, version, names = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  at = at + 4
  local first, last = at, at + names - 1
  at = at + names
  local first_key = key
  if kind == 'everything' then
    key = key + 2
  elseif kind ~= 'entry' then
    key = key + 2 * names
  end

  local known, unchanged = false, false
  if version ~= '' then
    local registered = redis.call('HMGET', clock, 'v' .. document, document)
    local mark = tonumber(registered[2] or 0)
    known = registered[1] == version and mark > f
    unchanged = known and kind == 'change' and mark ~= HELD
  end
  if unchanged then
    result[#result + 1] = -1
  else
    local mark = HELD
    if kind ~= 'hold' then
      s = s + 1
      mark = s
    end
    if kind == 'everything' then
      f = s
      drops = 1
      redis.call('HSET', clock, 's', s, 'f', f)
    else
      local held = {}
      if kind == 'change' then
        for n = first, last do
          held[ARGV[n]] = tonumber(redis.call('HGET', clock, ARGV[n]) or 0) == HELD
        end
      end
      -- The sequence is written with the first marks; the script as a whole is what others see or do not see.
      local fields = { 's', s }
      for n = first, last do
        if not held[ARGV[n]] then
          fields[#fields + 1] = ARGV[n]
          fields[#fields + 1] = mark
        end
        if #fields > 4000 then
          redis.call('HSET', clock, unpack(fields))
          fields = { 's', s }
        end
      end
      redis.call('HSET', clock, unpack(fields))
      if document ~= '' and kind ~= 'hold' then
        -- A version that is not told is not the registered one any more.
        if known or version ~= '' and not again then
          redis.call('HSET', clock, 'v' .. document, version)
        else
          redis.call('HDEL', clock, 'v' .. document)
        end
      end
    end
    local detached = 0
    if kind ~= 'hold' then
      -- An empty set does not exist, and renaming what does not exist is an error.
      for k = first_key, key - 1, 2 do
        local members = redis.call('SCARD', KEYS[k])
        if members > 0 then
          redis.call('RENAME', KEYS[k], KEYS[k + 1])
          detached = detached + members
        end
      end
    end
    result[#result + 1] = detached
  end
end

-- Old marks go: the floor rises to where the sequence stood one interval ago, or, when there are too many of them,
-- half way. What was stored before dies early; nothing lives on.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000
local past = redis.call('HMGET', clock, 't', 'p')
local floor = f
if not past[1] then
  redis.call('HSET', clock, 't', now, 'p', s)
elseif now - tonumber(past[1]) >= tonumber(ARGV[2]) then
  floor = math.max(f, tonumber(past[2] or 0))
  redis.call('HSET', clock, 't', now, 'p', s)
end
if redis.call('HLEN', clock) > tonumber(ARGV[3]) then
  floor = math.max(floor, math.floor((f + s) / 2))
end
if floor > f then
  redis.call('HSET', clock, 'f', floor)
  drops = 1
end
result[2] = drops
for _ in string.gmatch(replication, 'state=online') do
  result[1] = result[1] + 1
end
return result
