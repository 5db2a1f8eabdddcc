-- Cache which key versions of an application are valid, as MySQL says.
--
-- A late caller is refused: since it read MySQL, the key was changed, the application was deleted, or another
-- incarnation started. The nonce shows that.
--
-- KEYS  1 application
-- ARGV  1 fixed holder or ''  2 nonce  3 key version  4 the previous one is valid until, ms, or 0
--       5 lifetime of the cache, ms
-- Returns 1 if it was cached, else 0

local deleted, cached_by, loading_nonce =
  unpack(redis.call('HMGET', KEYS[1], 'deleted', 'memory', 'asked'))
if deleted or cached_by ~= incarnation(ARGV[1]) or loading_nonce ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'asked')
redis.call('HSET', KEYS[1], 'key_version', ARGV[3], 'previous_until', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
