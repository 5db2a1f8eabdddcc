-- Accept a new version (an edit or a deletion) of a number that is in use.
--
-- KEYS  1 application  2 counter  3 nonce  4 pending  5 due  6 chats' counter  7 chats' pending  8 idle
--       9 edited  10 usage of the application  then the usage of the user (only if a user sends the request)
--       then the idempotency record (only if the request has a key)
--       then, only for a deletion: the messages' counter of the deleted chat, or the deletions of the chat
--       whose message is deleted
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 how long others wait for this attempt, ms
--       5 chat number or ''  6 now, ms  7 when the entry is overdue, ms
--       8 most pending entries of a counter  9 of an application
--       10 fingerprint or ''  11 lifetime of the idempotency record, ms  12 created_at of the response
--       13 what else a replay needs for the same response
--       14 number  15 revision of the version that this one was made from
--       16 `edits` of the pending page that was read before  17 epoch of the newest lease
--       18 lifetime of the block of a deleted chat, ms
--       19 JSON of the version, from behind its revision on
--       20 limits (`open_usage`)  21 shares of the memory (`open_usage`)
-- Returns {'accepted', remaining in the buckets, number, revision, holder, epoch, ceiling}
--         {'conflict', remaining}, or another reply of `accept.lua`

local keys = {counter = KEYS[2], nonce = KEYS[3], pending = KEYS[4], due = KEYS[5], chats = KEYS[6],
              chats_pending = KEYS[7], idle = KEYS[8], edited = KEYS[9]}
local chat, number = ARGV[5], ARGV[14]
local FIRST_LEASE = ',"messages_lease":%b{}}$'

local me = incarnation(ARGV[2])
local refused = refusal(KEYS[1], ARGV[1], me, ARGV[3])
if refused then return refused end
local all, limited = open_usage(10, ARGV[20], ARGV[21])
if not all then return limited end
local idempotency_key = ARGV[10] ~= '' and KEYS[10 + #all]
local deletion = KEYS[10 + #all + (idempotency_key and 1 or 0)]
local replayed = idempotency_key and replay(idempotency_key, ARGV[10], keys.pending)
if replayed then return served(all, replayed) end
local full, before = is_full(keys, 1, ARGV[8], ARGV[9])
if full then return served(all, {'full'}) end
local lasting = (idempotency_key and RECORD_BYTES + #ARGV[13] or 0)
  + (chat == '' and deletion and BLOCK_BYTES or 0)
local over = over_budget(all, #ARGV[19] + ENTRY_BYTES, 0, lasting)
if over then return served(all, over) end
local counter, not_ready = held(keys, chat, me, ARGV[3], ARGV[4], all)
if not counter then return served(all, not_ready) end

-- An old primary that is isolated may hold an older lease than the newest one. Its revisions would be too low
-- to win against a version that was accepted under the newest lease and is not stored yet. MySQL refuses to
-- extend the older lease, so this incarnation acquires a new one.
if tonumber(counter.epoch) < tonumber(ARGV[17]) then
  return served(all, {'exhausted', me, counter.epoch, counter.ceiling})
end

-- `edits` of the counter is the revision of its newest edit. `edited` lists the numbers that were edited last,
-- by the revision of their newest edit. It has all edits above the score of its member 'from'. It may expire, and
-- a copy of it may be older than the counter: then its newest edit is not `edits`, and it says nothing.
local edits = tonumber(redis.call('HGET', keys.counter, 'edits') or 0)
local is_listed = tonumber(redis.call('ZRANGE', keys.edited, -1, -1, 'WITHSCORES')[2]) == edits

-- Whether this number was edited after a page with these `edits` was read, or may have been.
local function edited_since(seen)
  if edits == seen then return false end
  if seen > edits or not is_listed then return true end
  if seen < tonumber(redis.call('ZSCORE', keys.edited, 'from')) then return true end
  return tonumber(redis.call('ZSCORE', keys.edited, number) or 0) > seen
end

-- Far more edits than one counter accepts while a request is between its read and its edit.
local MAX_LISTED = 1000
local LISTED_TTL_MS = 60000

local function list_edit(revision)
  if not is_listed then
    redis.call('DEL', keys.edited)
    redis.call('ZADD', keys.edited, integer(edits), 'from')
  end
  redis.call('ZADD', keys.edited, revision, number)
  if redis.call('ZCARD', keys.edited) > MAX_LISTED + 1 then
    local oldest = redis.call('ZRANGE', keys.edited, 1, 1, 'WITHSCORES')
    redis.call('ZREM', keys.edited, oldest[1])
    redis.call('ZADD', keys.edited, oldest[2], 'from')
  end
  redis.call('PEXPIRE', keys.edited, integer(LISTED_TTL_MS))
  redis.call('HSET', keys.counter, 'edits', revision)
end

-- The new version was made from a pending version or from MySQL's row. A pending version must still be the
-- same. MySQL's row is current if the number was not edited since the pending page was read: an earlier edit
-- was pending then, so the caller saw it, or it was persisted, so the caller read it from MySQL.
local entry = pending_entry(keys.pending, number)
if entry then
  if entry_revision(entry) ~= tonumber(ARGV[15]) then return served(all, {'conflict'}) end
elseif edited_since(tonumber(ARGV[16])) then
  return served(all, {'conflict'})
end

-- A chat's first lease stays in its pending entry, also if the new version was made from MySQL's row, which has
-- none. Once the chat is persisted, its first lease must never be used again (`create_under_first_lease`).
local json = ARGV[19]
if chat == '' then
  local lease = entry and string.match(entry, FIRST_LEASE) or '}'
  json = string.gsub(json, FIRST_LEASE, '}')
  json = string.sub(json, 1, -2) .. lease
end
local revision = integer(revision_of(counter, redis.call('HINCRBY', keys.counter, 'revision', 1)))
list_edit(revision)
redis.call('ZREMRANGEBYSCORE', keys.pending, number, number)
local bytes = store_pending(keys, chat, me, counter, ARGV[6], ARGV[7], number, revision,
                            '{"number":' .. number .. ',"revision":' .. revision .. json)
count_pending(all, bytes - (entry and #entry + ENTRY_BYTES or 0), before)
if deletion and chat ~= '' then
  redis.call('ZADD', deletion, number, number)
elseif deletion then
  -- Also if the counter is missing, so that a lease which is acquired for it at this moment opens nothing.
  redis.call('HSET', deletion, 'deleted', 1)
  redis.call('PEXPIRE', deletion, ARGV[18])
end
if idempotency_key then
  store_idempotency(idempotency_key, ARGV[11], ARGV[10], me, counter,
                    {'first', number, 'last', number, 'revision', revision,
                     'created_at', ARGV[12], 'kept', ARGV[13]})
end
if lasting > 0 then count_lasting(all, lasting) end
return served(all, {'accepted', number, revision, me, counter.epoch, counter.ceiling})
