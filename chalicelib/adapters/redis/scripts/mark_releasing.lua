-- Stop an idle counter from issuing numbers, so that its lease can be released to MySQL.
--
-- From now on nothing is issued under this lease, whatever happens to the caller: the next request releases
-- the lease and acquires another one. Refused while anything is pending: MySQL may not know the last number
-- yet, and a pending chat would create its counter again from its first lease.
--
-- KEYS  1 counter  2 pending  3 idle  4 chats' pending
-- ARGV  1 fixed holder or ''  2 chat number, or '0' for the chats' counter
--       3 how long the counter must have been idle, ms
-- Returns {holder, epoch, last} if it is releasing now, else {}

local me = incarnation(ARGV[1])
local holder, epoch, last, deleted =
  unpack(redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'last', 'deleted'))
local idle_since = redis.call('ZSCORE', KEYS[3], ARGV[2])
if not idle_since or tonumber(idle_since) > server_ms() - tonumber(ARGV[3]) then return {} end
if redis.call('EXISTS', KEYS[2]) == 1 or (ARGV[2] ~= '0' and pending_entry(KEYS[4], ARGV[2])) then
  -- It is idle from now on, at the earliest. Otherwise the next call would find it first again. The member is
  -- removed first, because a full server allows commands that may need memory only after a write.
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('ZADD', KEYS[3], integer(server_ms()), ARGV[2])
  return {}
end
if holder ~= me or deleted then
  -- No lease that could be released. A counter of another incarnation has no use, so it is removed. The block
  -- of a deleted chat expires by itself.
  if not deleted then redis.call('DEL', KEYS[1]) end
  redis.call('ZREM', KEYS[3], ARGV[2])
  return {}
end
also_if_full(KEYS[1])
redis.call('HSET', KEYS[1], 'closing', 1)
return {holder, epoch, last}
