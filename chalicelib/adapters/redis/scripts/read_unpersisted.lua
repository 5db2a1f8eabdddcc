-- Read what is known here of several chats, and may not be in MySQL yet.
--
-- KEYS  1 application  2 chats' pending  then, for each chat: counter, pending, deletions
--       then the usage of the application and of the user, if they have limits
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 limits (`open_usage`)  5… the numbers of the chats
-- Returns {'unpersisted', remaining in the buckets,
--          {known (0 or 1; -1 if the chat was deleted), highest pending number, deletions}…}
--         {'limited', remaining, index of the bucket that has too little, ms until it has enough}
--         {'not_cached', nonce} {'deleted'} {'key'}

local refused = refusal(KEYS[1], ARGV[1], incarnation(ARGV[2]), ARGV[3])
if refused then return refused end
local count = #ARGV - 4
local all, limited = open_usage(3 + 3 * count, ARGV[4])
if not all then return limited end

local reply = {'unpersisted'}
for i = 1, count do
  local counter, pending, deletions = KEYS[3 * i], KEYS[3 * i + 1], KEYS[3 * i + 2]
  local newest = redis.call('ZREVRANGEBYSCORE', pending, '+inf', '-inf', 'LIMIT', 0, 1)[1]
  reply[i + 1] = {
    chat_known(counter, KEYS[2], ARGV[i + 4]) or -1,
    newest and string.match(newest, '{"number":(%d+)') or '0',
    redis.call('ZRANGE', deletions, 0, -1),
  }
end
return served(all, reply, redis.pcall)
