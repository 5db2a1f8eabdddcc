-- Accept a new state (an edit or a deletion) of a number that is in use.
--
-- KEYS  1 application  2 counter  3 nonce  4 pending  5 due  6 chats' counter  7 chats' pending  8 quiet
--       then the idempotency mark (only where the request has one)
--       then the counter of the messages of the chat that is deleted, or the deletions of the chat whose
--       message is deleted (only for these)
-- ARGV  1 key version  2 fixed holder or ''  3 nonce  4 how long others wait, ms  5 chat number or ''
--       6 now, ms  7 when overdue, ms  8 most pending of a counter  9 of an application
--       10 fingerprint or ''  11 mark's life, ms  12 created_at of the answer
--       13 what else a retry needs for the same answer
--       14 number  15 revision of the state this one was made from
--       16 edits seen by the look before  17 epoch of the newest lease
--       18 life of a deleted chat's mark, ms  19 JSON of the state, from after its revision on
-- Returns {'accepted', number, revision, holder, epoch, ceiling} {'conflict'}
--         {'replayed', number, number, revision, created_at, holder, epoch, ceiling, kept, '', pending entry…}
--         {'reused'} {'not_cached', nonce} {'deleted'} {'key'} {'gone'} {'contended'} {'full'}
--         {'releasing', holder, epoch, last}
--         {'missing', holder, nonces given up} {'exhausted', holder, epoch, ceiling}
--         {'missing', holder, nonces given up, epoch of the chats' counter, its last number}

local k = {counter = KEYS[2], nonce = KEYS[3], pending = KEYS[4], due = KEYS[5], chats = KEYS[6],
           chats_pending = KEYS[7], idle = KEYS[8]}
local chat, number = ARGV[5], ARGV[14]
local FIRST_LEASE = ',"messages_lease":%b{}}$'

local me = incarnation(ARGV[2])
local no = refusal(KEYS[1], ARGV[1], me, ARGV[3])
if no then return no end
local idempotency_key = ARGV[10] ~= '' and KEYS[9]
local before = idempotency_key and replay(idempotency_key, ARGV[10], k.pending, {})
if before then return before end
if full(k, 1, ARGV[8], ARGV[9]) then return {'full'} end
local c, not_ready = held(k, chat, me, ARGV[3], ARGV[4])
if not c then return not_ready end

-- A memory that was left behind (an old primary that is alone again) may hold an older lease than the
-- newest one. Its revisions would be too low to win against a state that was made under that and is still
-- on its way: MySQL will not raise its lease, so that it begins anew.
if c.epoch < tonumber(ARGV[17]) then return {'exhausted', me, whole(c.epoch), whole(c.ceiling)} end

-- The state was made from what was pending, or from MySQL's row. A pending one must still be the same.
-- MySQL's row is current where no edit was accepted since the look: an edit accepted before it was either
-- pending then, and seen, or persisted, and read.
local entry = pending_entry(k.pending, number)
if entry then
  if entry_revision(entry) ~= tonumber(ARGV[15]) then return {'conflict'} end
elseif (redis.call('HGET', k.counter, 'edits') or '0') ~= ARGV[16] then
  return {'conflict'}
end

-- A chat's first lease stays with what is pending of it, also where the new state was made from MySQL's row,
-- which has none. One that is persisted must never be made again (`first_lease`).
local state = ARGV[19]
if chat == '' then
  local lease = entry and string.match(entry, FIRST_LEASE) or '}'
  state = string.gsub(state, FIRST_LEASE, '}')
  state = string.sub(state, 1, -2) .. lease
end
local revision = revision_of(c, redis.call('HINCRBY', k.counter, 'revision', 1))
redis.call('HINCRBY', k.counter, 'edits', 1)
redis.call('ZREMRANGEBYSCORE', k.pending, number, number)
keep_pending(k, chat, me, c, ARGV[6], ARGV[7], number, revision,
             '{"number":' .. number .. ',"revision":' .. whole(revision) .. state)
local deletion = KEYS[idempotency_key and 10 or 9]
if deletion and chat ~= '' then
  redis.call('ZADD', deletion, number, number)
elseif deletion then
  -- Also where the counter is missing, so that a lease that is being begun for it opens nothing.
  redis.call('HSET', deletion, 'deleted', 1)
  redis.call('PEXPIRE', deletion, ARGV[18])
end
if idempotency_key then
  store_idempotency(idempotency_key, ARGV[11], ARGV[10], me, c, {'first', number, 'last', number, 'revision', whole(revision),
            'created_at', ARGV[12], 'kept', ARGV[13]})
end
return {'accepted', number, whole(revision), me, whole(c.epoch), whole(c.ceiling)}
