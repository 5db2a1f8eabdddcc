-- What is pending in a range of a counter, by descending or ascending number.
--
-- KEYS  1 application  2 counter  3 pending  4 chats' pending
-- ARGV  1 key version  2 chat number or ''  3 least number or '-inf'  4 highest number or '+inf'
--       5 'asc' or 'desc'  6 how many at most
-- Returns {'look', known (0 or 1), edits, pending entry…}
--         {'application'} {'deleted'} {'key'} {'gone'}

local no = refusal(KEYS[1], ARGV[1])
if no then return no end
local c = redis.call('HMGET', KEYS[2], 'deleted', 'last', 'edits')
if c[1] then return {'gone'} end
local known = c[2] and 1 or 0
if ARGV[2] ~= '' then
  local entry = pending_entry(KEYS[4], ARGV[2])
  if entry then
    if entry_state(entry).deleted_at then return {'gone'} end
    known = 1
  end
end
local entries
if ARGV[5] == 'asc' then
  entries = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[6])
else
  entries = redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[4], ARGV[3], 'LIMIT', 0, ARGV[6])
end
return {'look', known, c[3] or '0', unpack(entries)}
