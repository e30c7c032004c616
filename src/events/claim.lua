-- Takes over entries that others have read but not acknowledged for long.
--
-- KEYS  stream, mark
-- ARGV  group, consumer, how long in ms, where to go on, most entries
-- Returns { next, entries, how many entries were removed from the stream before they were applied }.
local reply = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local gone = #(reply[3] or {})
if gone > 0 then
  redis.call('UNLINK', KEYS[2])
end
return { reply[1], reply[2], gone }
