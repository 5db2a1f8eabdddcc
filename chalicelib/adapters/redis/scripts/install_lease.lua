-- Install the lease that MySQL granted to this incarnation.
--
-- A late caller is refused: its nonce is gone or was replaced, another incarnation started, or the counter
-- has a newer lease.
--
-- KEYS  1 counter  2 nonce  3 idle
-- ARGV  1 nonce  2 fixed holder or ''  3 holder  4 epoch  5 floor  6 ceiling
--       7 chat number, or '0' for the chats' counter
-- Returns 1 if it was installed, else 0

local me = incarnation(ARGV[2])
local attempt = read_attempt(KEYS[2], me)
if me ~= ARGV[3] or not attempt or attempt.nonce ~= ARGV[1] then return 0 end
local holder, epoch = unpack(redis.call('HMGET', KEYS[1], 'holder', 'epoch'))
if holder == me and tonumber(epoch) >= tonumber(ARGV[4]) then return 0 end
-- `edits` jumps to a new range. So an edit that was made from a pending page of an older lease is a conflict.
redis.call('HDEL', KEYS[1], 'closing')
redis.call('HSET', KEYS[1], 'holder', me, 'epoch', ARGV[4], 'last', ARGV[5], 'ceiling', ARGV[6],
           'revision', 0, 'edits', integer(tonumber(ARGV[4]) * 4294967296))
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[3], integer(server_ms()), ARGV[7])
return 1
