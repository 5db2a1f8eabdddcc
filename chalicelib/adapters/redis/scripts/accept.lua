-- Give new chats or messages their numbers and keep them as pending until they are persisted.
--
-- KEYS  1 application  2 counter  3 nonce  4 pending  5 due  6 chats' counter  7 chats' pending  8 quiet
--       then the idempotency mark (only where the request has one)  then the buckets
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 how long others wait, ms  5 chat number or ''
--       6 now, ms  7 when overdue, ms  8 most pending of a counter  9 of an application
--       10 fingerprint or ''  11 mark's life, ms  12 created_at of the answer
--       13 window of a new chat's first lease or ''  14 limits of the buckets
--       15… one JSON state each, from after its revision on (`,"body":…}`)
-- Returns {'accepted', first, revision, holder, epoch, ceiling, left in the buckets}
--         {'replayed', first, last, revision, created_at, holder, epoch, ceiling, '', left, pending entry…}
--         {'limited', left in the buckets, which has too little, ms until it has enough}
--         {'reused'} {'not_cached', nonce} {'deleted'} {'key'} {'gone'} {'contended'} {'full'}
--         {'releasing', holder, epoch, last}
--         {'missing', holder, nonces given up} {'exhausted', holder, epoch, ceiling}
--         {'missing', holder, nonces given up, epoch of the chats' counter, its last number}

local k = {counter = KEYS[2], nonce = KEYS[3], pending = KEYS[4], due = KEYS[5], chats = KEYS[6],
           chats_pending = KEYS[7], idle = KEYS[8]}
local chat, now, count = ARGV[5], ARGV[6], #ARGV - 14

local me = incarnation(ARGV[2])
local no = refusal(KEYS[1], ARGV[1], me, ARGV[3])
if no then return no end

local idempotency_key = ARGV[10] ~= '' and KEYS[9]
local buckets, limited = buckets_for(count, idempotency_key and 10 or 9, ARGV[14])
if limited then return limited end
local before = idempotency_key and replay(idempotency_key, ARGV[10], k.pending, buckets)
if before then return before end

if full(k, count, ARGV[8], ARGV[9]) then return {'full'} end
local c, not_ready = held(k, chat, me, ARGV[3], ARGV[4])
if not c then return not_ready end
if c.last + count > c.ceiling then return {'exhausted', me, whole(c.epoch), whole(c.ceiling)} end

local first, revision = c.last + 1, revision_of(c, c.revision + 1)
redis.call('HSET', k.counter, 'last', whole(c.last + count), 'revision', whole(c.revision + count))
for i = 1, count do
  local json = '{"number":' .. whole(first + i - 1) .. ',"revision":' .. whole(revision + i - 1)
    .. ARGV[14 + i]
  if ARGV[13] ~= '' then
    json = string.sub(json, 1, -2) .. ',"messages_lease":{"holder":"' .. me
      .. '","epoch":1,"ceiling":' .. ARGV[13] .. '}}'
  end
  keep_pending(k, chat, me, c, now, ARGV[7], first + i - 1, revision + i - 1, json)
end
if idempotency_key then
  store_idempotency(idempotency_key, ARGV[11], ARGV[10], me, c, {'first', whole(first), 'last', whole(c.last + count),
            'revision', whole(revision), 'created_at', ARGV[12]})
end
return {'accepted', whole(first), whole(revision), me, whole(c.epoch), whole(c.ceiling), take(buckets)}
