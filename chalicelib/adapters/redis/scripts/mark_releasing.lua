-- Stop a quiet counter from handing out numbers, so that its lease can be given back to MySQL.
--
-- From here on nothing leaves under this lease, whatever becomes of the caller: who comes next gives it
-- back and begins anew. Refused while anything is pending: then MySQL may not know the last number yet,
-- and a pending chat would make its counter again from its first lease.
--
-- KEYS  1 counter  2 pending  3 quiet  4 chats' pending
-- ARGV  1 fixed holder or ''  2 chat number or '0'  3 quiet for how long, ms
-- Returns {holder, epoch, last} where it is closing now, else {}

local me = incarnation(ARGV[1])
local c = redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'last', 'deleted')
local since = redis.call('ZSCORE', KEYS[3], ARGV[2])
if not since or tonumber(since) > server_ms() - tonumber(ARGV[3]) then return {} end
if redis.call('EXISTS', KEYS[2]) == 1 or (ARGV[2] ~= '0' and pending_entry(KEYS[4], ARGV[2])) then
  return {}
end
if c[1] ~= me or c[4] then
  -- Not a lease that could be given back. A copy from another memory is of no use, a deleted chat's mark
  -- ends by itself.
  if not c[4] then redis.call('DEL', KEYS[1]) end
  redis.call('ZREM', KEYS[3], ARGV[2])
  return {}
end
redis.call('HSET', KEYS[1], 'closing', 1)
return {c[1], c[2], c[3]}
