-- The code that every script begins with: the clock of a bucket, and what it says about an entry.

-- A tombstone above every read version: the name is held.
local HELD = 9007199254740991
local HELD_TEXT = '9007199254740991'

-- Opens the clock and returns its incarnation, sequence and low-water mark.
--
-- A clock that is gone, or that was written under another replication id (because the server restarted, was
-- rolled back, or a replica took over), cannot vouch for anything. It starts again under `nonce`, 128 random
-- bits that the caller made for this call alone: if an incarnation were used twice, the clock would trust
-- what was stored under its first use.
--
-- Anyone who may ask can invent corpora, and the first question creates a clock. So a clock begins with a
-- time to live. It loses its time to live when the first fill is stored or the first invalidation is
-- applied: see `keep`. A clock that runs out is simply lost. Nothing was stored under it, and the read versions
-- that were taken belong to an incarnation that no clock has again.
--
-- A primary that was demoted keeps its clients, and follows the replication id of the new primary without
-- having all the changes that the new one received. It must not vouch either. It says so in the words that
-- make clients look for the primary.
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

-- Keeps the clock, which is open, for good: before an entry is stored under it, and before it gets a change.
--
-- The clock is made again with the same fields, which needs no permission that users did not already have.
-- This happens within one step, so no one sees it missing; if the script fails in between, the clock is lost.
-- If a clock has a time to live and more fields, a process of an older version applied a change to it: it
-- runs out, and that is safe, too.
local function keep(clock)
  if redis.call('PTTL', clock) < 0 or redis.call('HLEN', clock) ~= 4 then
    return
  end
  local c = redis.call('HMGET', clock, 'r', 'i', 's', 'f')
  redis.call('UNLINK', clock)
  redis.call('HSET', clock, 'r', c[1], 'i', c[2], 's', c[3], 'f', c[4])
end

local HEX = string.rep('%02x', 16)

-- An id of 16 bytes as it is written in keys.
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
  local tombstones = redis.call('HMGET', clock, unpack(fields))
  for n = 1, #fields do
    local tombstone = tonumber(tombstones[n] or 0)
    if tombstone == HELD then
      return 'held'
    end
    dead = dead or tombstone > entry_s
  end
  return dead and 'invalidated' or nil
end

-- Why a fill with this sequence is refused; nil if it is not. It is refused if the clock has not reached the
-- sequence: an entry that claims to know of changes that are yet to come would survive them.
local function ahead(s, fill_s)
  return tonumber(fill_s) > s and 'clock' or nil
end

-- Returns `version` if an answer was derived from another version of a document than the registered one; nil
-- if it was not. ARGV has the number of documents at `at`, then the id and the version of each. Retrieval can
-- lag behind the ingestion hook: then the read version is new, but the document is old. A version lives as long
-- as the tombstone that it came with.
local function mismatch(clock, f, at)
  for n = 1, tonumber(ARGV[at]) do
    local document, version = ARGV[at + 2 * n - 1], ARGV[at + 2 * n]
    local registered = redis.call('HMGET', clock, 'v' .. document, document)
    if registered[1] and registered[1] ~= version and tonumber(registered[2] or 0) > f then
      return 'version'
    end
  end
end
