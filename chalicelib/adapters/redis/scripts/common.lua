-- Functions that the other scripts share; put before each of them.

-- Names this server's memory. A restart changes run_id, a promotion or a full resync changes
-- master_replid, so a copy of the data in another memory never passes for this one. 16 hex digits of
-- each are 128 bits. `fixed` is given where the store itself keeps every write over a failover.
local function incarnation(fixed)
  if fixed ~= '' then return fixed end
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return string.sub(run_id, 1, 16) .. string.sub(replid, 1, 16)
end

-- Lua would print a large number as 1e+15.
local function whole(n) return string.format('%.0f', n) end

-- Time since 1970 by this server's clock: one clock for all who wait for each other.
local function server_us()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

local function server_ms() return math.floor(server_us() / 1000) end

local LOADING_TTL_MS = 60000

-- nil, or the answer that refuses the request: the application is not known, deleted, or has another key.
--
-- Which versions of the key are valid, MySQL says; here is a copy. It counts only in the memory that it was
-- made in, so that no snapshot or replica brings a replaced key back. Where there is none, the nonce of who
-- asks first stays in its place, for all who ask at the same time, and what they read is taken only while it
-- is there: a change of the key, a wipe and a new memory each take it away. When the previous version ends,
-- this server's clock decides, so that it ends for all functions at once. Nobody can have a version that was
-- never made, so a newer one shows that this memory was not told of a change; MySQL is asked for each once.
local function refusal(application_key, key_version, me, nonce)
  local app = redis.call('HMGET', application_key, 'deleted', 'memory', 'key_version', 'previous_until',
                         'asked', 'newer')
  if app[1] then return {'deleted'} end
  if app[2] ~= me then
    redis.call('DEL', application_key)
    redis.call('HSET', application_key, 'memory', me, 'asked', nonce)
    redis.call('PEXPIRE', application_key, whole(LOADING_TTL_MS))
    return {'not_cached', nonce}
  end
  if not app[3] then return {'not_cached', app[5]} end
  if app[3] == key_version then return nil end
  local newer_by = tonumber(app[3]) - tonumber(key_version)
  if newer_by == 1 and server_ms() < tonumber(app[4]) then return nil end
  if newer_by > 0 or app[6] == key_version then return {'key'} end
  redis.call('HDEL', application_key, 'key_version', 'previous_until')
  redis.call('HSET', application_key, 'asked', nonce, 'newer', key_version)
  redis.call('PEXPIRE', application_key, whole(LOADING_TTL_MS))
  return {'not_cached', nonce}
end

-- A pending entry is `<revision>|<accepted at, ms>|<holder>|<epoch>|<ceiling>|<JSON of the state>`, the
-- member of a sorted set whose score is the number; a number has at most one.
local function pending_entry(pending_key, number)
  return redis.call('ZRANGEBYSCORE', pending_key, number, number)[1]
end

local function entry_revision(entry) return tonumber(string.match(entry, '^(%d+)|')) end

local function entry_state(entry)
  return cjson.decode(string.match(entry, '^%d+|%d+|[^|]*|%d+|%d+|(.*)$'))
end

-- Whether a counter is there, or the chat that it belongs to (chat: '' for the chats' counter): 1 or 0;
-- nil where the chat was deleted.
local function chat_known(counter_key, chats_pending_key, chat)
  local c = redis.call('HMGET', counter_key, 'deleted', 'last')
  if c[1] then return nil end
  local entry = chat ~= '' and pending_entry(chats_pending_key, chat)
  if entry and entry_state(entry).deleted_at then return nil end
  return (c[2] or entry) and 1 or 0
end

-- Make the counter of a chat's messages under the first lease, which a chat is made with. Only while the
-- chat is pending, in the memory that it was made in, and where the counter was never there: so a counter
-- that was lost is not made again, because what loses it (a wipe) loses the pending entry as well. Nothing
-- is pending of it yet: it is quiet, and found when what is quiet is given back.
-- Returns the counter, or nil.
local function first_lease(counter_key, idle_key, chat, me)
  local lease = chat.messages_lease
  if not lease or lease.holder ~= me or chat.deleted_at or redis.call('EXISTS', counter_key) == 1 then
    return nil
  end
  redis.call('HSET', counter_key, 'last', 0, 'ceiling', whole(lease.ceiling), 'holder', me,
             'epoch', whole(lease.epoch), 'revision', 0, 'edits', 0)
  redis.call('ZADD', idle_key, whole(server_ms()), whole(chat.number))
  return {last = 0, ceiling = lease.ceiling, epoch = lease.epoch, revision = 0}
end

-- What is left in each bucket, and in how many milliseconds it is full again: `<left>/<ms> …`.
local function remaining_in(buckets)
  local parts = {}
  for i, b in ipairs(buckets) do
    parts[i] = whole(math.floor(b.size - b.full_in / b.unit)) .. '/' .. whole(math.ceil(b.full_in / 1000))
  end
  return table.concat(parts, ' ')
end

-- The buckets from which a request is to take `cost`, or nil and the answer that refuses it: where one of
-- them has too little, none is taken from. `limits` is `<rate>/<size> …`; the keys begin at KEYS[first].
--
-- A bucket holds `size`, and `rate` a second flow back. Its key says when it is full again, in microseconds,
-- and is gone by then. It is never emptier than empty, so a clock that was set back locks nobody out.
local function buckets_for(cost, first, limits)
  local buckets, longest, which = {cost = cost}, 0, 0
  for rate, size in string.gmatch(limits, '([%d.]+)/(%d+)') do
    buckets.now = buckets.now or server_us()
    local b = {key = KEYS[first + #buckets], unit = 1000000 / rate, size = tonumber(size)}
    local full_in = (tonumber(redis.call('GET', b.key) or 0)) - buckets.now
    b.full_in = math.min(math.max(full_in, 0), b.size * b.unit)
    buckets[#buckets + 1] = b
    local wait = b.full_in + (cost - b.size) * b.unit
    if wait > longest then longest, which = wait, #buckets end
  end
  if which == 0 then return buckets end
  return nil, {'limited', remaining_in(buckets), which, whole(math.ceil(longest / 1000))}
end

-- Take what the request costs; returns what is left.
local function take(buckets)
  for _, b in ipairs(buckets) do
    b.full_in = b.full_in + buckets.cost * b.unit
    redis.call('SET', b.key, whole(math.floor(buckets.now + b.full_in)),
               'PX', whole(math.ceil(b.full_in / 1000)))
  end
  return remaining_in(buckets)
end

-- nil, or the answer to a request whose Idempotency-Key was used before: the first answer, with those of
-- its states that are still pending.
local function replay(idempotency_key, fingerprint, pending_key, buckets)
  local stored = redis.call('HMGET', idempotency_key, 'fingerprint', 'first', 'last', 'revision', 'created_at',
                          'holder', 'epoch', 'ceiling', 'kept')
  if not stored[1] then return nil end
  if stored[1] ~= fingerprint then return {'reused'} end
  stored[1] = 'replayed'
  stored[9] = stored[9] or ''
  stored[10] = take(buckets)
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', pending_key, stored[2], stored[3])) do
    stored[#stored + 1] = entry
  end
  return stored
end

-- Note what a request with an Idempotency-Key was answered: `answer` holds `first`, `last`, `revision`,
-- `created_at`, and of an edit `kept`.
local function store_idempotency(idempotency_key, life_ms, fingerprint, me, c, answer)
  redis.call('HSET', idempotency_key, 'fingerprint', fingerprint, 'holder', me, 'epoch', whole(c.epoch),
             'ceiling', whole(c.ceiling), unpack(answer))
  redis.call('PEXPIRE', idempotency_key, life_ms)
end

-- Who is beginning a lease on the counter, and who gave up before: the attempts that were never installed.
-- Only one who left it in this memory counts; a wipe forgets all of them, as it should.
-- The value is `<nonce>|<memory>|<others wait until, ms>|<nonces that were given up>`.
local function acquiring(nonce_key, me)
  local left = redis.call('GET', nonce_key)
  if not left then return nil end
  local nonce, incarnation_, wait_until, abandoned = string.match(left, '^(%x*)|([^|]*)|(%d+)|(.*)$')
  if incarnation_ ~= me then return nil end
  return {nonce = nonce, wait_until = tonumber(wait_until), abandoned = abandoned}
end

local MAX_ABANDONED_CHARS = 20 * 33
local ACQUIRING_TTL_MS = 30 * 24 * 3600 * 1000

local function store_acquiring(nonce_key, nonce, me, wait_until, abandoned)
  redis.call('SET', nonce_key, table.concat({nonce, me, whole(wait_until),
             string.sub(abandoned, 1, MAX_ABANDONED_CHARS)}, '|'), 'PX', whole(ACQUIRING_TTL_MS))
end

-- The counter if this memory holds its lease; otherwise nil and the answer that says what is needed.
-- k: counter, nonce, chats (the counter of the chats), chats_pending, quiet; chat: '' for the chats' counter.
--
-- The invariant of the whole protocol is guarded here: a number leaves only the memory that holds the
-- lease. What could break it: a copy of the counter in another memory (its holder differs), a counter
-- that was lost (it is missing: a new lease is needed, even in the same memory), a lease that is being
-- given back to MySQL (it is closing: nothing leaves it any more).
local function held(k, chat, me, nonce, nonce_ms)
  local c = redis.call('HMGET', k.counter, 'last', 'ceiling', 'holder', 'epoch', 'revision', 'deleted',
                       'closing')
  if c[6] then return nil, {'gone'} end
  if c[3] == me then
    if c[7] then return nil, {'releasing', me, c[4], c[1]} end
    return {last = tonumber(c[1]), ceiling = tonumber(c[2]), epoch = tonumber(c[4]),
            revision = tonumber(c[5])}
  end
  if chat ~= '' then
    local entry = pending_entry(k.chats_pending, chat)
    if entry then
      local state = entry_state(entry)
      if state.deleted_at then return nil, {'gone'} end
      local first = first_lease(k.counter, k.idle, state, me)
      if first then return first end
    end
  end
  local other, now, abandoned = acquiring(k.nonce, me), server_ms(), ''
  if other then
    if now < other.wait_until then return nil, {'contended'} end
    abandoned = other.nonce .. ',' .. other.abandoned
  end
  store_acquiring(k.nonce, nonce, me, now + tonumber(nonce_ms), abandoned)
  local chats = redis.call('HMGET', k.chats, 'last', 'holder', 'epoch')
  if chats[2] ~= me then return nil, {'missing', me, abandoned} end
  return nil, {'missing', me, abandoned, chats[3], chats[1]}
end

-- Whether so many more pending entries are too many for the counter or the application: then the workers
-- are behind, and a request must wait rather than fill the memory.
local function full(k, count, most_of_counter, most_of_application)
  return redis.call('ZCARD', k.pending) + count > tonumber(most_of_counter)
    or redis.call('ZCARD', k.due) + count > tonumber(most_of_application)
end

-- The nth revision under a counter's lease. They order the states of one counter: a newer epoch is above
-- all of an older one.
local function revision_of(c, n) return c.epoch * 4294967296 + n end

local function keep_pending(k, chat, me, c, now, due, number, revision, json)
  redis.call('ZADD', k.pending, whole(number), table.concat({
    whole(revision), now, me, whole(c.epoch), whole(c.ceiling), json}, '|'))
  redis.call('ZADD', k.due, due, (chat == '' and '0' or chat) .. ':' .. whole(number))
end
