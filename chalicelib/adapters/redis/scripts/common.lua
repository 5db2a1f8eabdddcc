-- Functions that the scripts share. The adapter puts this file before each of them.

-- The incarnation of this server: 128 bits of its run_id and its master_replid. A restart changes run_id, and
-- a promotion or a full resync changes master_replid. So a copy of the data in another incarnation never
-- passes for this one. `fixed` is not '' if the store itself keeps every write during a failover.
local function incarnation(fixed)
  if fixed ~= '' then return fixed end
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return string.sub(run_id, 1, 16) .. string.sub(replid, 1, 16)
end

-- A number as text. Lua itself would write a large one as 1e+15.
local function integer(n) return string.format('%.0f', n) end

-- Time since 1970 by this server's clock: all callers that wait for each other use one clock.
local function server_us()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

local function server_ms() return math.floor(server_us() / 1000) end

local LOADING_TTL_MS = 60000

-- Returns nil, or the reply that refuses the request: the application is not cached here, it was deleted, or
-- its key is not valid.
--
-- MySQL knows which versions of the key are valid, and this server caches that.
--
-- - The cache counts only in the incarnation that filled it, so that no snapshot or replica brings a replaced
--   key back.
-- - On a cache miss, the caller stores a nonce (or joins the one that is there), reads MySQL, and fills the
--   cache only if the nonce is unchanged. A key change, a wipe and a new incarnation each remove the nonce.
-- - This server's clock decides when the previous version ends, so that it ends for all functions at once.
-- - Clients cannot have a version that does not exist. So a version that is newer than the cache means that
--   the cache is stale: load it again from MySQL, once for each version.
--
-- Tests: "key" in tests/contract/test_sequencer.py.
local function refusal(application_key, key_version, me, nonce)
  local deleted, cached_by, cached_version, previous_until, loading_nonce, loaded_for =
    unpack(redis.call('HMGET', application_key, 'deleted', 'memory', 'key_version', 'previous_until',
                      'asked', 'newer'))
  if deleted then return {'deleted'} end
  if cached_by ~= me then
    redis.call('DEL', application_key)
    redis.call('HSET', application_key, 'memory', me, 'asked', nonce)
    redis.call('PEXPIRE', application_key, integer(LOADING_TTL_MS))
    return {'not_cached', nonce}
  end
  if not cached_version then return {'not_cached', loading_nonce} end
  if cached_version == key_version then return nil end
  local newer_by = tonumber(cached_version) - tonumber(key_version)
  if newer_by == 1 and server_ms() < tonumber(previous_until) then return nil end
  if newer_by > 0 or loaded_for == key_version then return {'key'} end
  redis.call('HDEL', application_key, 'key_version', 'previous_until')
  redis.call('HSET', application_key, 'asked', nonce, 'newer', key_version)
  redis.call('PEXPIRE', application_key, integer(LOADING_TTL_MS))
  return {'not_cached', nonce}
end

-- A pending entry is `<revision>|<accepted at, ms>|<holder>|<epoch>|<ceiling>|<JSON of the version>`. It is the
-- member of a sorted set whose score is the number. A number has at most one entry.
local function pending_entry(pending_key, number)
  return redis.call('ZRANGEBYSCORE', pending_key, number, number)[1]
end

local function entry_revision(entry) return tonumber(string.match(entry, '^(%d+)|')) end

local function entry_version(entry)
  return cjson.decode(string.match(entry, '^%d+|%d+|[^|]*|%d+|%d+|(.*)$'))
end

-- Whether the counter exists here, or the chat that it belongs to (chat: '' for the chats' counter). Returns
-- 1 or 0, and nil if the chat was deleted.
local function chat_known(counter_key, chats_pending_key, chat)
  local deleted, last = unpack(redis.call('HMGET', counter_key, 'deleted', 'last'))
  if deleted then return nil end
  local entry = chat ~= '' and pending_entry(chats_pending_key, chat)
  if entry and entry_version(entry).deleted_at then return nil end
  return (last or entry) and 1 or 0
end

-- Create the counter of a chat's messages under its first lease, which the chat's own entry contains.
-- Returns the counter, or nil.
--
-- It is created only while the chat is pending, in the incarnation that accepted the chat, and if the counter
-- does not exist. So a lost counter is not created again: a wipe also loses the pending entry. Nothing of the
-- new counter is pending, so it is idle, and `list_idle` finds it when its lease can be released.
local function create_under_first_lease(counter_key, idle_key, chat, me)
  local lease = chat.messages_lease
  if not lease or lease.holder ~= me or chat.deleted_at or redis.call('EXISTS', counter_key) == 1 then
    return nil
  end
  redis.call('HSET', counter_key, 'last', 0, 'ceiling', integer(lease.ceiling), 'holder', me,
             'epoch', integer(lease.epoch), 'revision', 0, 'edits', 0)
  redis.call('ZADD', idle_key, integer(server_ms()), integer(chat.number))
  return {last = 0, ceiling = lease.ceiling, epoch = lease.epoch, revision = 0}
end

-- What remains in each bucket, and in how many milliseconds it is full again: `<remaining>/<ms> …`.
local function remaining_in(buckets)
  local parts = {}
  for i, b in ipairs(buckets) do
    parts[i] = integer(math.floor(b.size - b.full_in / b.unit)) .. '/'
      .. integer(math.ceil(b.full_in / 1000))
  end
  return table.concat(parts, ' ')
end

-- Returns the buckets from which a request takes `cost`, or nil and the reply that refuses it. If one bucket
-- has too little, the request takes from none. `limits` is `<rate>/<size> …`; the keys start at KEYS[first].
--
-- A bucket holds `size` and refills by `rate` a second. Its key contains the time when it is full again, in
-- microseconds, and expires then. A bucket is never emptier than empty, so a clock that was set back blocks
-- nobody.
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
  return nil, {'limited', remaining_in(buckets), which, integer(math.ceil(longest / 1000))}
end

-- Take the cost of the request from its buckets. Returns what remains, as `remaining_in` does.
local function take(buckets)
  for _, b in ipairs(buckets) do
    b.full_in = b.full_in + buckets.cost * b.unit
    redis.call('SET', b.key, integer(math.floor(buckets.now + b.full_in)),
               'PX', integer(math.ceil(b.full_in / 1000)))
  end
  return remaining_in(buckets)
end

-- Returns nil, or the reply to a request whose Idempotency-Key was used before: the first response, with those
-- of its versions that are still pending.
local function replay(idempotency_key, fingerprint, pending_key, buckets)
  local reply = redis.call('HMGET', idempotency_key, 'fingerprint', 'first', 'last', 'revision',
                           'created_at', 'holder', 'epoch', 'ceiling', 'kept')
  if not reply[1] then return nil end
  if reply[1] ~= fingerprint then return {'reused'} end
  reply[1] = 'replayed'
  reply[9] = reply[9] or ''
  reply[10] = take(buckets)
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', pending_key, reply[2], reply[3])) do
    reply[#reply + 1] = entry
  end
  return reply
end

-- Store the response to a request with an Idempotency-Key. `response` holds the fields `first`, `last`,
-- `revision` and `created_at` with their values, and for an edit `kept`.
local function store_idempotency(idempotency_key, ttl_ms, fingerprint, me, counter, response)
  redis.call('HSET', idempotency_key, 'fingerprint', fingerprint, 'holder', me,
             'epoch', integer(counter.epoch), 'ceiling', integer(counter.ceiling), unpack(response))
  redis.call('PEXPIRE', idempotency_key, ttl_ms)
end

-- The newest attempt to acquire a lease of the counter, or nil. `abandoned` are the nonces of earlier
-- attempts, which were never installed. Only an attempt in this incarnation counts; a wipe forgets all of
-- them, as it must. The value is `<nonce>|<incarnation>|<others wait until, ms>|<abandoned nonces>`.
local function read_attempt(nonce_key, me)
  local value = redis.call('GET', nonce_key)
  if not value then return nil end
  local nonce, attempted_by, wait_until, abandoned = string.match(value, '^(%x*)|([^|]*)|(%d+)|(.*)$')
  if attempted_by ~= me then return nil end
  return {nonce = nonce, wait_until = tonumber(wait_until), abandoned = abandoned}
end

local MAX_ABANDONED_CHARS = 20 * 33
local ATTEMPT_TTL_MS = 30 * 24 * 3600 * 1000

local function store_attempt(nonce_key, nonce, me, wait_until, abandoned)
  redis.call('SET', nonce_key, table.concat({nonce, me, integer(wait_until),
             string.sub(abandoned, 1, MAX_ABANDONED_CHARS)}, '|'), 'PX', integer(ATTEMPT_TTL_MS))
end

-- Returns the counter if this incarnation holds its lease. Otherwise nil, and the reply that says what is
-- missing. `keys` has the names of the keys; chat: '' for the chats' counter.
--
-- The invariant of the whole protocol is guarded here: only the incarnation that holds the lease issues
-- numbers. Three things could break it:
-- - A copy of the counter in another incarnation: its holder differs.
-- - A lost counter: it is missing, so a new lease is needed, even in the same incarnation.
-- - A lease that is being released to MySQL: the counter is releasing, and issues nothing any more.
--
-- Tests: tests/simulation (its defects remove each check), tests/contract/test_sequencer.py.
local function held(keys, chat, me, nonce, nonce_ms)
  local last, ceiling, holder, epoch, revision, deleted, releasing =
    unpack(redis.call('HMGET', keys.counter, 'last', 'ceiling', 'holder', 'epoch', 'revision', 'deleted',
                      'closing'))
  if deleted then return nil, {'gone'} end
  if holder == me then
    if releasing then return nil, {'releasing', me, epoch, last} end
    return {last = tonumber(last), ceiling = tonumber(ceiling), epoch = tonumber(epoch),
            revision = tonumber(revision)}
  end
  if chat ~= '' then
    local entry = pending_entry(keys.chats_pending, chat)
    if entry then
      local version = entry_version(entry)
      if version.deleted_at then return nil, {'gone'} end
      local counter = create_under_first_lease(keys.counter, keys.idle, version, me)
      if counter then return counter end
    end
  end
  local attempt, now, abandoned = read_attempt(keys.nonce, me), server_ms(), ''
  if attempt then
    if now < attempt.wait_until then return nil, {'contended'} end
    abandoned = attempt.nonce .. ',' .. attempt.abandoned
  end
  store_attempt(keys.nonce, nonce, me, now + tonumber(nonce_ms), abandoned)
  local chats_last, chats_holder, chats_epoch =
    unpack(redis.call('HMGET', keys.chats, 'last', 'holder', 'epoch'))
  if chats_holder ~= me then return nil, {'missing', me, abandoned} end
  return nil, {'missing', me, abandoned, chats_epoch, chats_last}
end

-- Whether `count` more pending entries are too many for the counter or for the application. Then the workers
-- are behind, and requests must wait: otherwise they would fill the RAM of the server.
local function is_full(keys, count, max_of_counter, max_of_application)
  return redis.call('ZCARD', keys.pending) + count > tonumber(max_of_counter)
    or redis.call('ZCARD', keys.due) + count > tonumber(max_of_application)
end

-- The nth revision under the lease of a counter. Revisions order the versions of one counter: those of a newer
-- epoch are above all of an older one.
local function revision_of(counter, n) return counter.epoch * 4294967296 + n end

local function store_pending(keys, chat, me, counter, now, due, number, revision, json)
  redis.call('ZADD', keys.pending, integer(number), table.concat({
    integer(revision), now, me, integer(counter.epoch), integer(counter.ceiling), json}, '|'))
  redis.call('ZADD', keys.due, due, (chat == '' and '0' or chat) .. ':' .. integer(number))
end
