-- Deletes those entries that are dead. One that came back under its id since is live, and stays. One that is held does
-- not: it is dead once the hold ends, and may not be listed any more under the name whose hold that is.
--
-- KEYS  clock, the set of all entries, entries
-- ARGV  nonce, id of each entry
-- Returns for each entry the scope of what was deleted, or an empty string.
local i, _, f = open(KEYS[1], ARGV[1])
local scopes = {}
local sets = string.sub(KEYS[2], 1, -4)
for n = 3, #KEYS do
  local e = redis.call('HMGET', KEYS[n], 'i', 's', 'd', 'p')
  if e[1] and death(KEYS[1], i, f, e[1], e[2], e[3] or '') then
    redis.call('UNLINK', KEYS[n])
    redis.call('SREM', KEYS[2], ARGV[n - 1])
    if e[4] then
      redis.call('SREM', sets .. 's' .. hex(e[4]), ARGV[n - 1])
    end
    scopes[n - 2] = e[4] or ''
  else
    if not e[1] then
      -- A lookup that met it dead has deleted it.
      redis.call('SREM', KEYS[2], ARGV[n - 1])
    end
    scopes[n - 2] = ''
  end
end
return scopes
