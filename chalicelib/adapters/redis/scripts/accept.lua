-- Give new chats or messages their numbers, and store them as pending until they are persisted.
--
-- KEYS  1 application  2 counter  3 nonce  4 pending  5 due  6 chats' counter  7 chats' pending  8 idle
--       9 usage of the application  then the usage of the user (only if a user sends the request)
--       then the idempotency record (only if the request has a key)
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 how long others wait for this attempt, ms
--       5 chat number or ''  6 now, ms  7 when the entries are overdue, ms
--       8 most pending entries of a counter  9 of an application
--       10 fingerprint or ''  11 lifetime of the idempotency record, ms  12 created_at of the response
--       13 window of a new chat's first lease or ''  14 limits (`open_usage`)  15 shares of the memory (`open_usage`)
--       16… the JSON of each draft, from behind its revision on (`,"body":…}`)
-- Returns {'accepted', remaining in the buckets, first, revision, holder, epoch, ceiling}
--         {'replayed', remaining, first, last, revision, created_at, holder, epoch, ceiling, '', pending entry…}
--         {'limited', remaining, index of the bucket that has too little, ms until it has enough}
--         {'not_cached', nonce} {'deleted'} {'key'}
--         {'reused', remaining} {'gone', remaining} {'unknown', remaining} {'full', remaining}
--         {'over', remaining, 1 if the application stores too much, 2 if the user does}
--         {'contended', remaining} {'crowded', remaining}
--         {'releasing', remaining, holder, epoch, last}
--         {'exhausted', remaining, holder, epoch, ceiling}
--         {'missing', remaining, holder, abandoned nonces}
--         {'missing', remaining, holder, abandoned nonces, epoch of the chats' counter, its last number}

local keys = {counter = KEYS[2], nonce = KEYS[3], pending = KEYS[4], due = KEYS[5], chats = KEYS[6],
              chats_pending = KEYS[7], idle = KEYS[8]}
local chat, now, count = ARGV[5], ARGV[6], #ARGV - 15

local me = incarnation(ARGV[2])
local refused = refusal(KEYS[1], ARGV[1], me, ARGV[3])
if refused then return refused end
local all, limited = open_usage(9, ARGV[14], ARGV[15])
if not all then return limited end

local idempotency_key = ARGV[10] ~= '' and KEYS[9 + #all]
local replayed = idempotency_key and replay(idempotency_key, ARGV[10], keys.pending)
if replayed then return served(all, replayed) end

local full, before = is_full(keys, count, ARGV[8], ARGV[9])
if full then return served(all, {'full'}) end
local bytes = 0
for i = 16, #ARGV do bytes = bytes + #ARGV[i] + ENTRY_BYTES end
local over = over_budget(all, bytes, chat == '' and counter_bytes(keys.idle) or 0,
                         idempotency_key and RECORD_BYTES or 0)
if over then return served(all, over) end
local counter, not_ready = held(keys, chat, me, ARGV[3], ARGV[4], all)
if not counter then return served(all, not_ready) end
if counter.last + count > tonumber(counter.ceiling) then
  return served(all, {'exhausted', me, counter.epoch, counter.ceiling})
end

local before_first, last = counter.last, integer(counter.last + count)
local before_revision = revision_of(counter, counter.revision)
redis.call('HSET', keys.counter, 'last', last, 'revision', integer(counter.revision + count))
local first, first_revision
bytes = 0
for i = 1, count do
  local number, revision = integer(before_first + i), integer(before_revision + i)
  if i == 1 then first, first_revision = number, revision end
  local json = '{"number":' .. number .. ',"revision":' .. revision .. ARGV[15 + i]
  if ARGV[13] ~= '' then
    json = string.sub(json, 1, -2) .. ',"messages_lease":{"holder":"' .. me
      .. '","epoch":1,"ceiling":' .. ARGV[13] .. '}}'
  end
  bytes = bytes + store_pending(keys, chat, me, counter, now, ARGV[7], number, revision, json)
end
count_pending(all, bytes, before)
if idempotency_key then
  store_idempotency(idempotency_key, ARGV[11], ARGV[10], me, counter,
                    {'first', first, 'last', last, 'revision', first_revision, 'created_at', ARGV[12]})
  count_lasting(all, RECORD_BYTES)
end
return served(all, {'accepted', first, first_revision, me, counter.epoch, counter.ceiling})
