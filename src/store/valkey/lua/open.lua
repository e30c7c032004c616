-- What every script begins with: the clock of a bucket, and what it says of an entry.

-- A mark above every snapshot: the name is held.
local HELD = 9007199254740991
local HELD_TEXT = '9007199254740991'

-- Opens the clock and returns its incarnation, sequence and floor.
--
-- A clock that is gone, or that was written under another replication id (the server restarted, was rolled back, or
-- a replica took over), cannot vouch for anything. It starts anew under `nonce`, 128 random bits that the caller
-- made for this call alone: an incarnation that was used before would trust what was stored under it.
--
-- Whoever may ask can invent corpora, and a clock is made by the first question. So it begins with a time to live, which it
-- loses to the first fill that is stored and to the first invalidation: see `keep`. Running out is nothing but being lost:
-- nothing was stored under it, and the snapshots that were taken are of an incarnation that no clock has again.
--
-- A primary that was demoted keeps its clients, and follows the replication id of the new one without having all that
-- the new one was told. It must not vouch either, and says so in the words that make clients look for the primary.
local function open(clock, nonce)
  local replication = redis.call('INFO', 'replication')
  if not string.find(replication, 'role:master', 1, true) then
    error({ err = 'READONLY the server is a replica' })
  end
  local replid = string.match(replication, 'master_replid:(%x+)')
  local c = redis.call('HMGET', clock, 'r', 'i', 's', 'f')
  if c[1] == replid and c[2] and c[3] and c[4] then
    return c[2], tonumber(c[3]), tonumber(c[4]), replication
  end
  redis.call('UNLINK', clock)
  redis.call('HSET', clock, 'r', replid, 'i', nonce, 's', '0', 'f', '0')
  redis.call('PEXPIRE', clock, 86400000)
  return nonce, 0, 0, replication
end

-- Has the clock, which is open, stay for good: before an entry is stored under it, and before it is told of a change.
--
-- It is made again as it was, which takes no right that users had not before. That is within one step, so nobody sees it
-- gone; if it fails in between, the clock is lost. One that has a time to live and more in it was told of a change by a
-- process of an older version: it runs out, and that is safe, too.
local function keep(clock)
  if redis.call('PTTL', clock) < 0 or redis.call('HLEN', clock) ~= 4 then
    return
  end
  local c = redis.call('HMGET', clock, 'r', 'i', 's', 'f')
  redis.call('UNLINK', clock)
  redis.call('HSET', clock, 'r', c[1], 'i', c[2], 's', c[3], 'f', c[4])
end

local HEX = string.rep('%02x', 16)

-- An id of 16 bytes as keys spell it.
local function hex(id)
  return string.format(HEX, string.byte(id, 1, 16))
end

-- Why an entry stored with this incarnation, sequence and packed dependencies is dead; nil if it is live.
local function death(clock, i, f, entry_i, entry_s, packed)
  if entry_i ~= i then
    return 'clock'
  end
  entry_s = tonumber(entry_s)
  local dead = entry_s < f
  local fields = {}
  for at = 1, #packed, 16 do
    fields[#fields + 1] = string.sub(packed, at, at + 15)
  end
  local marks = redis.call('HMGET', clock, unpack(fields))
  for n = 1, #fields do
    local mark = tonumber(marks[n] or 0)
    if mark == HELD then
      return 'held'
    end
    dead = dead or mark > entry_s
  end
  return dead and 'invalidated' or nil
end

-- Why a fill with this sequence is refused, which the clock has not reached: what claims to know of changes that are yet
-- to come would survive them.
local function ahead(s, fill_s)
  return tonumber(fill_s) > s and 'clock' or nil
end

-- Why an answer was derived from another version of a document than the registered one; nil if it was not. ARGV has the
-- number of documents at `at`, then the id and the version of each. Retrieval can lag behind the ingestion hook: the
-- snapshot is then new and the document old. A version lives as long as the mark that it came with.
local function mismatch(clock, f, at)
  for n = 1, tonumber(ARGV[at]) do
    local document, version = ARGV[at + 2 * n - 1], ARGV[at + 2 * n]
    local registered = redis.call('HMGET', clock, 'v' .. document, document)
    if registered[1] and registered[1] ~= version and tonumber(registered[2] or 0) > f then
      return 'version'
    end
  end
end
