-- Make the counter begin anew: MySQL refused to raise its lease, because another memory has begun since.
-- Only the lease that was refused is given up; the next request begins as for a missing counter.
--
-- KEYS  1 counter
-- ARGV  1 holder  2 epoch

local c = redis.call('HMGET', KEYS[1], 'holder', 'epoch')
if c[1] == ARGV[1] and c[2] == ARGV[2] then redis.call('HDEL', KEYS[1], 'holder') end
return 0
