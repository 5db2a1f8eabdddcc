-- Forget a counter whose lease was given back.
--
-- KEYS  1 counter  2 quiet
-- ARGV  1 holder  2 epoch  3 chat number or '0'

local c = redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'closing')
if c[3] and c[1] == ARGV[1] and c[2] == ARGV[2] then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[3])
end
return 0
