-- What is pending in a range of a counter, by descending or ascending number. Where the request changes
-- something, also what its Idempotency-Key got before.
--
-- KEYS  1 application  2 counter  3 pending  4 chats' pending
--       then the idempotency mark (only where the request has one)  then the buckets
-- ARGV  1 key version  2 chat number or ''  3 least number or '-inf'  4 highest number or '+inf'
--       5 'asc' or 'desc'  6 how many at most  7 fingerprint or ''  8 limits of the buckets
--       9 fixed holder or ''  10 nonce
-- Returns {'pending', known (0 or 1), edits, left in the buckets, pending entry…} {'gone', left}
--         {'replayed', first, last, revision, created_at, holder, epoch, ceiling, kept, left, pending entry…}
--         {'limited', left in the buckets, which has too little, ms until it has enough}
--         {'not_cached', nonce} {'deleted'} {'key'} {'reused'}

local no = refusal(KEYS[1], ARGV[1], incarnation(ARGV[9]), ARGV[10])
if no then return no end
local idempotency_key = ARGV[7] ~= '' and KEYS[5]
local buckets, limited = buckets_for(1, idempotency_key and 6 or 5, ARGV[8])
if limited then return limited end
local before = idempotency_key and replay(idempotency_key, ARGV[7], KEYS[3], buckets)
if before then return before end

local left = take(buckets)
local is_known = chat_known(KEYS[2], KEYS[4], ARGV[2])
if not is_known then return {'gone', left} end
local entries
if ARGV[5] == 'asc' then
  entries = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[6])
else
  entries = redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[4], ARGV[3], 'LIMIT', 0, ARGV[6])
end
return {'pending', is_known, redis.call('HGET', KEYS[2], 'edits') or '0', left, unpack(entries)}
