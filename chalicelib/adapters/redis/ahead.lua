-- What may be known here of some chats before MySQL knows it.
--
-- KEYS  1 application  2 chats' pending  then, for each chat: counter, pending, deletions
-- ARGV  1 key version  2… the chats' numbers
-- Returns {'ahead', {known (0 or 1; -1 where the chat was deleted), highest pending number, deletions}…}
--         {'application'} {'deleted'} {'key'}

local no = refusal(KEYS[1], ARGV[1])
if no then return no end
local answer = {'ahead'}
for i = 2, #ARGV do
  local counter, pending, deletions = KEYS[3 * i - 3], KEYS[3 * i - 2], KEYS[3 * i - 1]
  local newest = redis.call('ZREVRANGEBYSCORE', pending, '+inf', '-inf', 'LIMIT', 0, 1)[1]
  answer[i] = {
    known(counter, KEYS[2], ARGV[i]) or -1,
    newest and string.match(newest, '{"number":(%d+)') or '0',
    redis.call('ZRANGE', deletions, 0, -1),
  }
end
return answer
