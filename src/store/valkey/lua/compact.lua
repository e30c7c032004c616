-- Drops tombstones at or below the low-water mark, some at a time, together with the versions that came with them.
--
-- KEYS  clock
-- ARGV  nonce, cursor
-- Returns the next cursor; `0` at the end.
local clock = KEYS[1]
local _, _, f = open(clock, ARGV[1])
local page = redis.call('HSCAN', clock, ARGV[2], 'COUNT', 256)
local fields = {}
for n = 1, #page[2], 2 do
  local field = page[2][n]
  if #field == 16 and tonumber(page[2][n + 1]) <= f then
    fields[#fields + 1] = field
    fields[#fields + 1] = 'v' .. field
  end
end
if #fields > 0 then
  redis.call('HDEL', clock, unpack(fields))
end
return page[1]
