-- Read what is known here of several chats, and may not be in MySQL yet.
--
-- KEYS  1 application  2 chats' pending  then, for each chat: counter, pending, deletions
--       then the buckets
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 limits of the buckets  5… the numbers of the chats
-- Returns {'unpersisted', remaining in the buckets,
--          {known (0 or 1; -1 if the chat was deleted), highest pending number, deletions}…}
--         {'limited', remaining in the buckets, index of the one that has too little, ms until it has enough}
--         {'not_cached', nonce} {'deleted'} {'key'}

local refused = refusal(KEYS[1], ARGV[1], incarnation(ARGV[2]), ARGV[3])
if refused then return refused end
local count = #ARGV - 4
local buckets, limited = buckets_for(1, 3 + 3 * count, ARGV[4])
if limited then return limited end

local reply = {'unpersisted', take(buckets)}
for i = 1, count do
  local counter, pending, deletions = KEYS[3 * i], KEYS[3 * i + 1], KEYS[3 * i + 2]
  local newest = redis.call('ZREVRANGEBYSCORE', pending, '+inf', '-inf', 'LIMIT', 0, 1)[1]
  reply[i + 2] = {
    chat_known(counter, KEYS[2], ARGV[i + 4]) or -1,
    newest and string.match(newest, '{"number":(%d+)') or '0',
    redis.call('ZRANGE', deletions, 0, -1),
  }
end
return reply
