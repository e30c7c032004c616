-- Applies changes to the clock of one bucket, and moves away the sets of those that depend on what changed.
--
-- KEYS  clock
-- ARGV  nonce, compaction interval in ms, most marks, `first` or `again`, what the names of the bucket's sets begin
--       with, the same for sets that are moved away (never used before), then runs of changes that are alike:
--       kind (`change`, `release`, `hold`, `entry` or `everything`), number of changes, number of names of each,
--       whether they are of documents (`documents`, `versions` if some tell one, or empty), the ids of all names one
--       after the other, the same as the names of sets spell them, and for `versions` that of each from now on (or
--       empty). The first name of a change of a document is the one that it is known by, and no document is twice in
--       a run.
--       What comes again comes from an outbox, maybe after newer changes. The version that it tells is not registered:
--       it may be an old one, and a change back to it would look like none.
-- Returns { online replicas, whether marks are to be dropped, the sets that were moved away, then for each change the
--           number of entries in them, or -1 if it told the version that is registered }.
--
-- A name is marked whether or not a set lists anything under it: sets may be lost, and a fill that is on its way is in
-- none. The sets are not among the KEYS. Most often there are none, and where some are on another node, since the slot
-- is moving, looking for them fails and they are left to expire.
local clock = KEYS[1]
local i, s, f, replication = open(clock, ARGV[1])
local again, sets, away = ARGV[4] == 'again', ARGV[5], ARGV[6]
local moved = {}
local result = { 0, 0, moved }
local drops = 0

-- A number as fields have it, whole up to the mark of what is held.
local function text(number)
  return string.format('%.0f', number)
end

-- Lua passes some thousand arguments at most. Even, so that pairs stay together.
local MOST = 2000

local function write(command, list)
  for first = 1, #list, MOST do
    redis.call(command, clock, unpack(list, first, math.min(first + MOST - 1, #list)))
  end
end

local function read(fields)
  local values = {}
  for first = 1, #fields, MOST do
    local some = redis.call('HMGET', clock, unpack(fields, first, math.min(first + MOST - 1, #fields)))
    if first == 1 then
      values = some
    else
      for n = 1, #some do
        values[first + n - 1] = some[n]
      end
    end
  end
  return values
end

-- Moves a set away; how many members it has.
local function detach(set)
  local members = redis.pcall('SCARD', set)
  -- An empty set does not exist, and renaming what does not exist is an error.
  if type(members) ~= 'number' or members == 0 then
    return 0
  end
  local name = away .. (#moved + 1)
  if redis.pcall('RENAME', set, name).err then
    return 0
  end
  moved[#moved + 1] = name
  return members
end

-- Where no entry is listed, no set needs to be looked for.
local is_listing = redis.pcall('EXISTS', sets .. 'all') ~= 0

local at = 7
while at <= #ARGV do
  local kind, changes, names, told = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  local packed, spelled, versions = ARGV[at + 4], ARGV[at + 5], at + 5
  at = at + 6 + (told == 'versions' and changes or 0)

  -- What each change did, as far as it is known.
  local done, left = {}, changes
  -- What is written, the versions that go, and the sets to look for, each with its change.
  local fields, gone, listed, of = {}, {}, {}, {}
  if kind == 'everything' then
    s = s + 1
    f = s
    drops = 1
    fields = { 's', text(s), 'f', text(f) }
    listed, of = { sets .. 'all' }, { 1 }
  else
    -- What the clock says of every name, and after that the version of every document.
    local ids = {}
    for first = 1, #packed, 16 do
      ids[#ids + 1] = string.sub(packed, first, first + 15)
    end
    local count = #ids
    if told == 'versions' then
      for first = 1, count, names do
        ids[#ids + 1] = 'v' .. ids[first]
      end
    end
    local old = kind == 'entry' and {} or read(ids)
    for n = 1, told ~= '' and changes or 0 do
      local first = (n - 1) * names + 1
      local version, known = '', false
      if told == 'versions' then
        version = ARGV[versions + n]
        known = version ~= '' and old[count + n] == version and tonumber(old[first] or 0) > f
      end
      if known and kind == 'change' and old[first] ~= HELD_TEXT then
        done[n] = -1
        left = left - 1
      elseif known or version ~= '' and not again then
        fields[#fields + 1] = 'v' .. ids[first]
        fields[#fields + 1] = version
      else
        -- A version that is not told is not the registered one any more.
        gone[#gone + 1] = 'v' .. ids[first]
      end
    end
    -- Changes of one run have one mark, that of the last: nobody has a snapshot from between them.
    local mark = HELD_TEXT
    if kind ~= 'hold' then
      s = s + left
      mark = text(s)
    end
    local ends = is_listing and (kind == 'change' or kind == 'release')
    for n = 1, changes do
      if not done[n] then
        for id = (n - 1) * names + 1, n * names do
          -- What is held stays so until it is released.
          if kind ~= 'change' or old[id] ~= HELD_TEXT then
            fields[#fields + 1] = ids[id]
            fields[#fields + 1] = mark
          end
          if ends then
            listed[#listed + 1] = sets .. string.sub(spelled, 32 * id - 31, 32 * id)
            of[#listed] = n
          end
        end
      end
    end
    fields[#fields + 1] = 's'
    fields[#fields + 1] = text(s)
  end
  if left > 0 then
    write('HSET', fields)
    write('HDEL', gone)
  end
  -- Most often there is no such set, so many are looked for at once.
  for first = 1, #listed, 64 do
    local last = math.min(first + 63, #listed)
    if redis.pcall('EXISTS', unpack(listed, first, last)) ~= 0 then
      for n = first, last do
        done[of[n]] = (done[of[n]] or 0) + detach(listed[n])
      end
    end
  end
  for n = 1, changes do
    result[#result + 1] = done[n] or 0
  end
end

-- Old marks go: the floor rises to where the sequence stood one interval ago, or, when there are too many of them,
-- half way. What was stored before dies early; nothing lives on. The marks go after that, so while there are still too
-- many it rises again only when an eighth more has come (`h`).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000
local past = redis.call('HMGET', clock, 't', 'p', 'h')
local floor = f
if not past[1] then
  redis.call('HSET', clock, 't', now, 'p', s)
elseif now - tonumber(past[1]) >= tonumber(ARGV[2]) then
  floor = math.max(f, tonumber(past[2] or 0))
  redis.call('HSET', clock, 't', now, 'p', s)
end
local count, most = redis.call('HLEN', clock), tonumber(ARGV[3])
if count > most and count > tonumber(past[3] or 0) then
  floor = math.max(floor, math.floor((f + s) / 2))
  redis.call('HSET', clock, 'h', count + math.ceil(most / 8))
elseif past[3] and count <= most then
  redis.call('HDEL', clock, 'h')
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
