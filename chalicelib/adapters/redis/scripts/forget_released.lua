-- Remove a counter whose lease was released to MySQL.
--
-- KEYS  1 counter  2 idle  3 nonce
-- ARGV  1 holder  2 epoch  3 chat number, or '0' for the chats' counter
-- Returns 0

local holder, epoch, releasing = unpack(redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'closing'))
if releasing and holder == ARGV[1] and epoch == ARGV[2] then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[3])
  -- Without its counter, a chat that exists would look like one that does not.
  expire_attempt(KEYS[3])
end
return 0
