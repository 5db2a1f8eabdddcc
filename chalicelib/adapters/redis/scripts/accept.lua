-- Give new chats or messages their numbers, and store them as pending until they are persisted.
--
-- KEYS  1 application  2 counter  3 nonce  4 pending  5 due  6 chats' counter  7 chats' pending  8 idle
--       then the idempotency record (only if the request has a key)  then the buckets
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 how long others wait for this attempt, ms
--       5 chat number or ''  6 now, ms  7 when the entries are overdue, ms
--       8 most pending entries of a counter  9 of an application
--       10 fingerprint or ''  11 lifetime of the idempotency record, ms  12 created_at of the response
--       13 window of a new chat's first lease or ''  14 limits of the buckets
--       15… the JSON of each draft, from behind its revision on (`,"body":…}`)
-- Returns {'accepted', first, revision, holder, epoch, ceiling, remaining in the buckets}
--         {'replayed', first, last, revision, created_at, holder, epoch, ceiling, '', remaining, pending entry…}
--         {'limited', remaining in the buckets, index of the one that has too little, ms until it has enough}
--         {'reused'} {'not_cached', nonce} {'deleted'} {'key'} {'gone'} {'contended'} {'full'}
--         {'releasing', holder, epoch, last}
--         {'missing', holder, abandoned nonces} {'exhausted', holder, epoch, ceiling}
--         {'missing', holder, abandoned nonces, epoch of the chats' counter, its last number}

local keys = {counter = KEYS[2], nonce = KEYS[3], pending = KEYS[4], due = KEYS[5], chats = KEYS[6],
              chats_pending = KEYS[7], idle = KEYS[8]}
local chat, now, count = ARGV[5], ARGV[6], #ARGV - 14

local me = incarnation(ARGV[2])
local refused = refusal(KEYS[1], ARGV[1], me, ARGV[3])
if refused then return refused end

local idempotency_key = ARGV[10] ~= '' and KEYS[9]
local buckets, limited = buckets_for(count, idempotency_key and 10 or 9, ARGV[14])
if limited then return limited end
local replayed = idempotency_key and replay(idempotency_key, ARGV[10], keys.pending, buckets)
if replayed then return replayed end

if is_full(keys, count, ARGV[8], ARGV[9]) then return {'full'} end
local counter, not_ready = held(keys, chat, me, ARGV[3], ARGV[4])
if not counter then return not_ready end
if counter.last + count > counter.ceiling then
  return {'exhausted', me, integer(counter.epoch), integer(counter.ceiling)}
end

local first, revision = counter.last + 1, revision_of(counter, counter.revision + 1)
redis.call('HSET', keys.counter, 'last', integer(counter.last + count),
           'revision', integer(counter.revision + count))
for i = 1, count do
  local json = '{"number":' .. integer(first + i - 1) .. ',"revision":' .. integer(revision + i - 1)
    .. ARGV[14 + i]
  if ARGV[13] ~= '' then
    json = string.sub(json, 1, -2) .. ',"messages_lease":{"holder":"' .. me
      .. '","epoch":1,"ceiling":' .. ARGV[13] .. '}}'
  end
  store_pending(keys, chat, me, counter, now, ARGV[7], first + i - 1, revision + i - 1, json)
end
if idempotency_key then
  store_idempotency(idempotency_key, ARGV[11], ARGV[10], me, counter,
                    {'first', integer(first), 'last', integer(counter.last + count),
                     'revision', integer(revision), 'created_at', ARGV[12]})
end
return {'accepted', integer(first), integer(revision), me, integer(counter.epoch),
        integer(counter.ceiling), take(buckets)}
