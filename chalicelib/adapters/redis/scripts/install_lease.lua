-- Take the lease that MySQL gave to this memory. Refused where the caller is late: its nonce is gone or
-- another's, the memory is another one by now, or a newer lease is there.
--
-- KEYS  1 counter  2 nonce  3 quiet
-- ARGV  1 nonce  2 fixed holder or ''  3 holder  4 epoch  5 floor  6 ceiling  7 chat number or '0'
-- Returns 1 where it was taken, else 0

local me = incarnation(ARGV[2])
local left = acquiring(KEYS[2], me)
if me ~= ARGV[3] or not left or left.nonce ~= ARGV[1] then return 0 end
local c = redis.call('HMGET', KEYS[1], 'holder', 'epoch')
if c[1] == me and tonumber(c[2]) >= tonumber(ARGV[4]) then return 0 end
-- `edits` jumps, so that a change made from a look into an older memory is a conflict.
redis.call('HDEL', KEYS[1], 'closing')
redis.call('HSET', KEYS[1], 'holder', me, 'epoch', ARGV[4], 'last', ARGV[5], 'ceiling', ARGV[6],
           'revision', 0, 'edits', whole(tonumber(ARGV[4]) * 4294967296))
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[3], whole(server_ms()), ARGV[7])
return 1
