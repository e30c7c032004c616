-- Reads entries for reports: only those that are live, with their hits.
--
-- KEYS  clock, entries
-- ARGV  nonce
-- Returns for each entry its fields, or an empty string.
local i, _, f = open(KEYS[1], ARGV[1])
local entries = {}
for n = 2, #KEYS do
  local e = redis.call('HMGET', KEYS[n], 'i', 's', 'd', 'p', 'q', 'a', 'm', 'v', 'h')
  if e[1] and e[2] and e[3] and not death(KEYS[1], i, f, e[1], e[2], e[3]) then
    entries[n - 1] = { e[4], e[5], e[6], e[7], e[8], e[9] or '0' }
  else
    entries[n - 1] = ''
  end
end
return entries
