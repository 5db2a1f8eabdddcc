-- What may be known here of some chats before MySQL knows it.
--
-- KEYS  1 application  2 chats' pending  then, for each chat: counter, pending, deletions
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4… the chats' numbers
-- Returns {'ahead', {known (0 or 1; -1 where the chat was deleted), highest pending number, deletions}…}
--         {'application', nonce} {'deleted'} {'key'}

local no = refusal(KEYS[1], ARGV[1], memory(ARGV[2]), ARGV[3])
if no then return no end
local answer = {'ahead'}
for i = 1, #ARGV - 3 do
  local counter, pending, deletions = KEYS[3 * i], KEYS[3 * i + 1], KEYS[3 * i + 2]
  local newest = redis.call('ZREVRANGEBYSCORE', pending, '+inf', '-inf', 'LIMIT', 0, 1)[1]
  answer[i + 1] = {
    known(counter, KEYS[2], ARGV[i + 3]) or -1,
    newest and string.match(newest, '{"number":(%d+)') or '0',
    redis.call('ZRANGE', deletions, 0, -1),
  }
end
return answer
