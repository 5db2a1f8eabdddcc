-- Take a copy of what MySQL says about the application's keys. Refused where the caller is late: the key was
-- changed since it was asked to look, the application was deleted, or the memory is another one by now.
--
-- KEYS  1 application
-- ARGV  1 fixed holder or ''  2 nonce  3 key version  4 the one before is valid until, ms, or 0
--       5 the copy's life, ms
-- Returns 1 where it was taken, else 0

local app = redis.call('HMGET', KEYS[1], 'deleted', 'memory', 'asked')
if app[1] or app[2] ~= incarnation(ARGV[1]) or app[3] ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'asked')
redis.call('HSET', KEYS[1], 'key_version', ARGV[3], 'previous_until', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
