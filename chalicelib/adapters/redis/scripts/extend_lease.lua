-- Take a higher ceiling, where the lease is still the one that was raised.
--
-- KEYS  1 counter
-- ARGV  1 holder  2 epoch  3 ceiling
-- Returns 1 where it was taken, else 0

local c = redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'ceiling')
if c[1] ~= ARGV[1] or c[2] ~= ARGV[2] or tonumber(c[3]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'ceiling', ARGV[3])
return 1
