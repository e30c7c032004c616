-- Finds an entry and asks the clock about it; if there is none to serve, claims the making of the answer.
--
-- KEYS  clock, entry, claim
-- ARGV  nonce, the name of the fill that the caller has a copy of (or empty), claim token (or empty), its life in ms
-- Returns { what was found, incarnation, sequence, ... }: for `live` the entry's fields, for a miss the claim.
local i, s, f = open(KEYS[1], ARGV[1])
-- A caller that has a copy usually needs no other. A caller that has none gets everything from one read.
local e
if ARGV[2] == '' then
  e = redis.call('HMGET', KEYS[2], 'i', 's', 'd', 'u', 'p', 'q', 'a', 'm', 'v')
else
  e = redis.call('HMGET', KEYS[2], 'i', 's', 'd', 'u')
end
local found = 'absent'
if e[1] and e[2] and e[3] then
  found = death(KEYS[1], i, f, e[1], e[2], e[3])
  if not found then
    if e[4] and e[4] == ARGV[2] then
      return { 'same', i, s }
    end
    if ARGV[2] == '' then
      return { 'live', i, s, e[4], e[5], e[6], e[7], e[8], e[9] }
    end
    local body = redis.call('HMGET', KEYS[2], 'p', 'q', 'a', 'm', 'v')
    return { 'live', i, s, e[4], body[1], body[2], body[3], body[4], body[5] }
  end
  -- A held entry is dead once the hold ends, but until then a report should say why.
  if found ~= 'held' then
    redis.call('UNLINK', KEYS[2])
  end
end
local claim = ''
if ARGV[3] ~= '' and found ~= 'held' then
  local taken = redis.pcall('SET', KEYS[3], ARGV[3], 'NX', 'GET', 'PX', ARGV[4])
  if type(taken) == 'table' then
    -- If there is no room for a claim, the caller makes the answer.
    claim = 'open'
  elseif not taken then
    claim = 'granted'
  elseif taken == 'open' then
    claim = 'open'
  else
    claim = 'taken'
  end
end
return { found, i, s, claim }
