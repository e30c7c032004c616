-- Counts hits. Counting a hit does not bring back an entry that is gone.
--
-- KEYS  entries
-- ARGV  hits of each
for n = 1, #KEYS do
  if redis.call('EXISTS', KEYS[n]) == 1 then
    redis.call('HINCRBY', KEYS[n], 'h', ARGV[n])
  end
end
return 0
