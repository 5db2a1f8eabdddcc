-- Set when pending entries are overdue again.
--
-- A full server refuses commands that may need memory, but not after the first write of a script. So this
-- script removes a member before it adds it again: what is pending must be resent above all if Redis is full.
--
-- KEYS  1 due
-- ARGV  1 due at, ms  2 `<chat or 0>:<number>`  and so on
-- Returns 0

for i = 1, #ARGV, 2 do
  if redis.call('ZREM', KEYS[1], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 0
