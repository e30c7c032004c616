-- Deletes those entries that are dead. An entry that was stored again under its id since then is live, and
-- stays. An entry that is held does not stay: it is dead once the hold ends, and it may no longer be
-- listed under the name that is held.
--
-- KEYS  clock, the set of all entries, entries
-- ARGV  nonce, id of each entry
-- Returns for each entry the scope of what was deleted, or an empty string.
local i, _, f = open(KEYS[1], ARGV[1])
local scopes = {}
local sets = string.sub(KEYS[2], 1, -4)
-- What to remove, all at once: the entries, their ids, and the ids in the sets of their scopes.
local dead, unlisted, of_scopes = {}, {}, {}
for n = 3, #KEYS do
  local e = redis.call('HMGET', KEYS[n], 'i', 's', 'd', 'p')
  scopes[n - 2] = ''
  if not e[1] then
    -- A lookup that found it dead has already deleted it.
    unlisted[#unlisted + 1] = ARGV[n - 1]
  elseif death(KEYS[1], i, f, e[1], e[2], e[3] or '') then
    dead[#dead + 1] = KEYS[n]
    unlisted[#unlisted + 1] = ARGV[n - 1]
    if e[4] then
      local set = sets .. 's' .. hex(e[4])
      of_scopes[set] = of_scopes[set] or {}
      table.insert(of_scopes[set], ARGV[n - 1])
      scopes[n - 2] = e[4]
    end
  end
end
if #dead > 0 then
  redis.call('UNLINK', unpack(dead))
end
if #unlisted > 0 then
  redis.call('SREM', KEYS[2], unpack(unlisted))
end
for set, ids in pairs(of_scopes) do
  redis.call('SREM', set, unpack(ids))
end
return scopes
