-- Read the pending versions of a range of a counter's numbers, in descending or ascending order. For a
-- request that writes, also look up the response that its Idempotency-Key got before.
--
-- KEYS  1 application  2 counter  3 pending  4 chats' pending
--       then the idempotency record (only if the request has a key)  then the buckets
-- ARGV  1 key version  2 chat number or ''  3 lowest number or '-inf'  4 highest number or '+inf'
--       5 'asc' or 'desc'  6 most entries  7 fingerprint or ''  8 limits of the buckets
--       9 fixed holder or ''  10 nonce  11 what the request takes from the buckets
-- Returns {'pending', known (0 or 1), edits, remaining in the buckets, pending entry…} {'gone', remaining}
--         {'replayed', first, last, revision, created_at, holder, epoch, ceiling, kept, remaining, pending entry…}
--         {'limited', remaining in the buckets, index of the one that has too little, ms until it has enough}
--         {'not_cached', nonce} {'deleted'} {'key'} {'reused'}

local refused = refusal(KEYS[1], ARGV[1], incarnation(ARGV[9]), ARGV[10])
if refused then return refused end
local idempotency_key = ARGV[7] ~= '' and KEYS[5]
local buckets, limited = buckets_for(tonumber(ARGV[11]), idempotency_key and 6 or 5, ARGV[8])
if limited then return limited end
local replayed = idempotency_key and replay(idempotency_key, ARGV[7], KEYS[3], buckets)
if replayed then return replayed end

local remaining = take(buckets)
local is_known = chat_known(KEYS[2], KEYS[4], ARGV[2])
if not is_known then return {'gone', remaining} end
local entries
if ARGV[5] == 'asc' then
  entries = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[6])
else
  entries = redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[4], ARGV[3], 'LIMIT', 0, ARGV[6])
end
return {'pending', is_known, redis.call('HGET', KEYS[2], 'edits') or '0', remaining, unpack(entries)}
