-- Applies changes to the clock of one bucket, and moves away the sets of the entries that depend on what
-- changed.
--
-- KEYS  clock
-- ARGV  nonce, compaction interval in ms, most tombstones, `first` or `again`, prefix of the names of the bucket's
--       sets, prefix of the names of sets that are moved away (never used before), then runs of similar
--       changes: kind (`change`, `release`, `hold`, `entry` or `everything`), number of changes, number of
--       names of each, whether they are of documents (`documents`, `versions` if some carry a version, or
--       empty), the ids of all names one after the other, the same ids as they are written in the names of
--       sets, and for `versions` the version of each document from now on (or empty). The first name of a
--       change of a document is the one under which the document is known, and no document is twice in a run.
--       A change that is applied `again` comes from an outbox, maybe after newer changes. The version that it
--       carries is not registered: it may be an old one, and a change back to it would look like no change.
-- Returns { online replicas, whether tombstones are to be dropped, the sets that were moved away, the ids of
--           entries from sets that were emptied, one after the other, then for each change the number of
--           entries in its sets, or -1 if it carried the version that is registered }.
--
-- A name is marked whether or not a set lists anything under it: sets may be lost, and a fill that is on its
-- way is in no set. The sets are not among the KEYS. Most often there are none. While the slot is moving,
-- some may be on another node: then looking for them fails, and they are left to expire.
local clock = KEYS[1]
local i, s, f, replication = open(clock, ARGV[1])
keep(clock)
local again, sets, away = ARGV[4] == 'again', ARGV[5], ARGV[6]
local moved, emptied = {}, {}
local result = { 0, 0, moved, '' }
local drops = 0

-- A number as it is written in fields, without a fraction up to the tombstone of a held name.
local function text(number)
  return string.format('%.0f', number)
end

-- Lua passes a few thousand arguments at most. The number is even, so that pairs stay together.
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

-- Most sets have few members: one command takes those, but moving a set away and reading it takes three.
local FEW = 16

-- Empties a set, or moves it away; returns how many members it had.
local function detach(set)
  local members = redis.pcall('SPOP', set, FEW)
  if members.err then
    return 0
  end
  local count = #members
  for n = 1, count do
    emptied[#emptied + 1] = members[n]
  end
  local rest = count == FEW and redis.pcall('SCARD', set) or 0
  -- An empty set does not exist, and renaming a key that does not exist is an error.
  if type(rest) ~= 'number' or rest == 0 then
    return count
  end
  local name = away .. (#moved + 1)
  if redis.pcall('RENAME', set, name).err then
    return count
  end
  moved[#moved + 1] = name
  return count + rest
end

-- If no entry is listed, there is no need to look for sets.
local is_listing = redis.pcall('EXISTS', sets .. 'all') ~= 0

local at = 7
while at <= #ARGV do
  local kind, changes, names, told = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  local packed, spelled, versions = ARGV[at + 4], ARGV[at + 5], at + 5
  at = at + 6 + (told == 'versions' and changes or 0)

  -- What each change did, as far as it is known.
  local done, left = {}, changes
  -- The fields to write, the versions to delete, and the sets to look for, each with its change.
  local fields, gone, listed, of = {}, {}, {}, {}
  if kind == 'everything' then
    s = s + 1
    f = s
    drops = 1
    fields = { 's', text(s), 'f', text(f) }
    listed, of = { sets .. 'all' }, { 1 }
  else
    local ids = {}
    for n = 1, changes * names do
      ids[n] = string.sub(packed, 16 * n - 15, 16 * n)
    end
    -- What the clock holds of the documents. Each is one field among many, so reading them is the largest
    -- part of what a change costs: only what is needed is read. A version lives as long as its tombstone.
    local documents, tombstones, registered = {}, {}, {}
    for n = 1, told ~= '' and changes or 0 do
      documents[n] = ids[(n - 1) * names + 1]
    end
    tombstones = read(documents)
    if told == 'versions' then
      local versioned, which = {}, {}
      for n = 1, changes do
        if tombstones[n] and tonumber(tombstones[n]) > f then
          which[#which + 1] = n
          versioned[#which] = 'v' .. documents[n]
        end
      end
      local found = read(versioned)
      for n = 1, #which do
        registered[which[n]] = found[n]
      end
    end
    for n = 1, #documents do
      local version = told == 'versions' and ARGV[versions + n] or ''
      local known = version ~= '' and registered[n] == version
      if known and kind == 'change' and tombstones[n] ~= HELD_TEXT then
        done[n] = -1
        left = left - 1
      elseif known or version ~= '' and not again then
        fields[#fields + 1] = 'v' .. documents[n]
        fields[#fields + 1] = version
      else
        -- If a change carries no version, or one that must not be registered, the registered version is
        -- outdated.
        gone[#gone + 1] = 'v' .. documents[n]
      end
    end
    -- All changes of one run have the same tombstone, that of the last: no one has a read version from between them.
    local tombstone = HELD_TEXT
    if kind ~= 'hold' then
      s = s + left
      tombstone = text(s)
    end
    local at_field = #fields
    local ends = is_listing and (kind == 'change' or kind == 'release')
    for n = 1, changes do
      if not done[n] then
        local first, last = (n - 1) * names + 1, n * names
        -- A held name stays held until it is released. Only documents are held, each under all of its names.
        local old
        if kind == 'change' and tombstones[n] == HELD_TEXT then
          local own = {}
          for name = first, last do
            own[#own + 1] = ids[name]
          end
          old = read(own)
        end
        for name = first, last do
          if not old or old[name - first + 1] ~= HELD_TEXT then
            fields[at_field + 1], fields[at_field + 2] = ids[name], tombstone
            at_field = at_field + 2
          end
          if ends then
            listed[#listed + 1] = sets .. string.sub(spelled, 32 * name - 31, 32 * name)
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
  -- Most often there is no such set, so several are looked for at once.
  for first = 1, #listed, 8 do
    local last = math.min(first + 7, #listed)
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

-- Drops old tombstones: the low-water mark rises to where the sequence stood one interval ago or, if there are too many
-- tombstones, half way up to the sequence. Entries stored before the low-water mark die early; none lives too long. The
-- tombstones themselves are dropped later. So while there are still too many, the low-water mark rises again only after
-- their number has grown by an eighth of the limit (`h`).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000
local past = redis.call('HMGET', clock, 't', 'p', 'h')
local low_water_mark = f
if not past[1] then
  redis.call('HSET', clock, 't', now, 'p', s)
elseif now - tonumber(past[1]) >= tonumber(ARGV[2]) then
  low_water_mark = math.max(f, tonumber(past[2] or 0))
  redis.call('HSET', clock, 't', now, 'p', s)
end
local count, most = redis.call('HLEN', clock), tonumber(ARGV[3])
if count > most and count > tonumber(past[3] or 0) then
  low_water_mark = math.max(low_water_mark, math.floor((f + s) / 2))
  redis.call('HSET', clock, 'h', count + math.ceil(most / 8))
elseif past[3] and count <= most then
  redis.call('HDEL', clock, 'h')
end
if low_water_mark > f then
  redis.call('HSET', clock, 'f', low_water_mark)
  drops = 1
end
result[2] = drops
result[4] = table.concat(emptied)
for _ in string.gmatch(replication, 'state=online') do
  result[1] = result[1] + 1
end
return result
