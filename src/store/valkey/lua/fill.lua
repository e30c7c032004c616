-- Stores an entry, unless one of its dependencies changed since the caller's read version.
--
-- KEYS  clock, entry, the set of all entries, then the set of each name that is to list the entry
-- ARGV  nonce, incarnation and sequence of the read version, time to live in ms, packed dependencies, entry id,
--       number of documents read in a known version, id and version of each, then the entry's fields and values
-- Returns `stored`, or why it is not.
local i, s, f = open(KEYS[1], ARGV[1])
local refused = ahead(s, ARGV[3]) or death(KEYS[1], i, f, ARGV[2], ARGV[3], ARGV[5]) or mismatch(KEYS[1], f, 7)
if refused then
  return refused
end
keep(KEYS[1])
local at = 8 + 2 * tonumber(ARGV[7])
-- An entry that is replaced is no longer listed under names that the new entry does not depend on.
local sets = string.sub(KEYS[3], 1, -4)
local old = redis.call('HGET', KEYS[2], 'd')
if old and old ~= ARGV[5] then
  for first = 1, #old, 16 do
    redis.call('SREM', sets .. hex(string.sub(old, first, first + 15)), ARGV[6])
  end
end
redis.call('UNLINK', KEYS[2])
redis.call('HSET', KEYS[2], 'i', ARGV[2], 's', ARGV[3], 'd', ARGV[5], unpack(ARGV, at))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
-- The sets are for reports and early deletion only: if there is no room for them, the entry is stored
-- without.
local ttl = tonumber(ARGV[4])
local entries = string.sub(KEYS[2], 1, -33)
for n = 3, #KEYS do
  -- Each fill adds one member and checks two. So the share of members that expired or were evicted stays
  -- small, even in a set that never expires itself.
  local seen = redis.call('SRANDMEMBER', KEYS[n], 2)
  for m = 1, #seen do
    if redis.call('EXISTS', entries .. hex(seen[m])) == 0 then
      redis.call('SREM', KEYS[n], seen[m])
    end
  end
  redis.pcall('SADD', KEYS[n], ARGV[6])
  if redis.call('PTTL', KEYS[n]) < ttl then
    redis.call('PEXPIRE', KEYS[n], ttl)
  end
end
return 'stored'
