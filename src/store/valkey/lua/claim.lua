-- Takes, renews or ends the claim to make an answer.
--
-- KEYS  claim
-- ARGV  token, `take`, `renew`, `end` or `open`, life in ms
-- Returns 1 if the claim is or was the caller's. `open` leaves a note that there is nothing to wait for.
if ARGV[2] == 'take' then
  return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[3]) and 1 or 0
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == 'renew' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif ARGV[2] == 'open' then
  -- If there is no room for the note, the claim is removed instead.
  if redis.pcall('SET', KEYS[1], 'open', 'PX', ARGV[3]).err then
    redis.call('UNLINK', KEYS[1])
  end
else
  redis.call('UNLINK', KEYS[1])
end
return 1
