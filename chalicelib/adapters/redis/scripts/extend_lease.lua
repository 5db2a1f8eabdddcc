-- Raise the ceiling of a counter, if its lease is still the one that MySQL extended.
--
-- KEYS  1 counter
-- ARGV  1 holder  2 epoch  3 ceiling
-- Returns 1 if the ceiling was raised, else 0

local holder, epoch, ceiling = unpack(redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'ceiling'))
if holder ~= ARGV[1] or epoch ~= ARGV[2] or tonumber(ceiling) >= tonumber(ARGV[3]) then return 0 end
also_if_full(KEYS[1])
redis.call('HSET', KEYS[1], 'ceiling', ARGV[3])
return 1
