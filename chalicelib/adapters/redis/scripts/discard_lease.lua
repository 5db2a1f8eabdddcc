-- Discard a lease that MySQL refused to extend, because another incarnation has acquired a newer one. The next
-- request acquires a lease, as for a missing counter. Any other lease stays.
--
-- KEYS  1 counter
-- ARGV  1 holder  2 epoch
-- Returns 0

local holder, epoch = unpack(redis.call('HMGET', KEYS[1], 'holder', 'epoch'))
if holder == ARGV[1] and epoch == ARGV[2] then redis.call('HDEL', KEYS[1], 'holder') end
return 0
