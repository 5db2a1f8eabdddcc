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

-- A whole number as text. Lua itself would write a large one as 1e+15.
local function integer(n) return string.format('%d', n) end

-- A server that is full refuses the first write of a script if it may need memory. After another first write it
-- refuses none. So a script that must work on a full server begins with this write, which removes nothing.
-- `key` is a hash. Test: tests/contract/test_full_redis.py.
local function also_if_full(key) redis.call('HDEL', key, '') end

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
  local deleted, cached_by, cached_version =
    unpack(redis.call('HMGET', application_key, 'deleted', 'memory', 'key_version'))
  if deleted then return {'deleted'} end
  if cached_by ~= me then
    redis.call('DEL', application_key)
    redis.call('HSET', application_key, 'memory', me, 'asked', nonce)
    redis.call('PEXPIRE', application_key, integer(LOADING_TTL_MS))
    return {'not_cached', nonce}
  end
  if cached_version == key_version then return nil end
  local previous_until, loading_nonce, loaded_for =
    unpack(redis.call('HMGET', application_key, 'previous_until', 'asked', 'newer'))
  if not cached_version then return {'not_cached', loading_nonce} end
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

-- The newest attempt to acquire a lease of the counter, or nil. `abandoned` are the nonces of earlier
-- attempts, which were never installed. `waiters` is how many requests wait for it. Only an attempt in this
-- incarnation counts; a wipe forgets all of them, as it must. An attempt without a nonce says that MySQL does
-- not have the chat: until `wait_until` nobody looks again.
-- The value is `<nonce>|<incarnation>|<others wait until, ms>|<abandoned nonces>`, and `|<waiters>` if there
-- are any.
local function read_attempt(nonce_key, me)
  local value = redis.call('GET', nonce_key)
  if not value then return nil end
  local nonce, attempted_by, wait_until, abandoned, waiters =
    string.match(value, '^(%x*)|([^|]*)|(%d+)|([^|]*)|?(%d*)$')
  if attempted_by ~= me then return nil end
  return {nonce = nonce, wait_until = tonumber(wait_until), abandoned = abandoned,
          waiters = tonumber(waiters) or 0}
end

local MAX_ABANDONED_CHARS = 20 * 33
local ATTEMPT_TTL_MS = 30 * 24 * 3600 * 1000
-- More requests than this do not wait for the same attempt: they would all occupy a process.
local MAX_WAITERS = 32

local function store_attempt(nonce_key, nonce, me, wait_until, abandoned, waiters, ttl_ms)
  local value = table.concat({nonce, me, integer(wait_until),
                              string.sub(abandoned, 1, MAX_ABANDONED_CHARS)}, '|')
  if waiters then value = value .. '|' .. integer(waiters) end
  redis.call('SET', nonce_key, value, 'PX', integer(ttl_ms or ATTEMPT_TTL_MS))
end

-- The attempt that is made now ends: its lease is never installed, and what it finds out about the chat does not
-- count. If MySQL grants it a range all the same, the next attempt gets that range.
local function expire_attempt(nonce_key)
  local nonce, attempted_by, abandoned =
    string.match(redis.call('GET', nonce_key) or '', '^(%x*)|([^|]*)|%d+|([^|]*)')
  if not nonce then return end
  if nonce ~= '' then abandoned = nonce .. ',' .. abandoned end
  if abandoned == '' then
    redis.call('DEL', nonce_key)
  else
    store_attempt(nonce_key, '', attempted_by, 0, abandoned)
  end
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
  local ceiling, epoch = integer(lease.ceiling), integer(lease.epoch)
  redis.call('HSET', counter_key, 'last', 0, 'ceiling', ceiling, 'holder', me, 'epoch', epoch,
             'revision', 0, 'edits', 0)
  redis.call('ZADD', idle_key, integer(server_ms()), integer(chat.number))
  return {last = 0, ceiling = ceiling, epoch = epoch, revision = 0}
end

-- Usage is a hash for each application, and for each user who sends requests. Its fields:
--
-- - `full_at`: when the bucket is full again, µs. A bucket holds `size` and refills by `rate` a second. It is
--   never emptier than empty, so a clock that was set back blocks nobody.
-- - `pending`: bytes of the application's pending entries. The scripts that add and remove entries keep it.
-- - `lasting`: bytes of what is stored for a day; `<hour>`: the part of it that was stored in that hour since
--   1970. `renew` takes off what is older than a day.
-- - `budget`: how many bytes may be pending, and how many may be lasting; `renewed_at`: when that was
--   computed, ms; `renewed_bytes`: how much was stored then.
-- - `expires_at`: when the hash expires, ms. So the expiry is set now and then, not by each request.
--
-- Tests: "rate limits" and "memory" in tests/contract/test_sequencer.py, tests/contract/test_full_redis.py.

-- What Redis needs beside the bytes that are counted, rounded up from measurements with Valkey 9.1
-- (tests/contract/test_redis_memory.py): for a pending entry with its due time, for the set of a counter's
-- pending entries, for a counter.
local ENTRY_BYTES, PENDING_SET_BYTES, COUNTER_BYTES = 150, 850, 300
-- For an idempotency record with its key, for the first one of a user, for the block of a deleted chat.
local RECORD_BYTES, USER_BYTES, BLOCK_BYTES = 450, 250, 150
-- An application or a user with less than this is within every budget, so small ones need no budget.
local FREE_BYTES = 1048576
-- Above the first share of its memory, the server reduces all budgets; at the second one they are 0.
local TIGHT, FULL = 0.8, 0.95
local RENEW_MS, HOUR_MS, LASTING_HOURS = 1000, 3600000, 24
local LASTING_MS = (LASTING_HOURS + 1) * HOUR_MS

-- What remains in each bucket, and in how many milliseconds it is full again: `<remaining>/<ms> …`.
local function remaining_in(all)
  local remaining
  for _, usage in ipairs(all) do
    if usage.full_in then
      local part = integer(math.floor(usage.size - usage.full_in / usage.unit)) .. '/'
        .. integer(math.ceil(usage.full_in / 1000))
      remaining = remaining and remaining .. ' ' .. part or part
    end
  end
  return remaining or ''
end

-- Returns the usage of the application and of the user who send a request, with `remaining`: what remains in
-- their buckets after the request. If one bucket has too little, the request takes from none: returns nil and
-- the reply that refuses it. Nothing is written before `store_usage`.
--
-- `limits` has a word for each usage, whose keys start at KEYS[first]: `<rate>/<size>/<cost>/<1 if it is
-- written, 0 if it is only checked>`; the rate is 0 if there is no limit. `shares` is only needed by writes:
-- `<percent of the memory for an application>/<for a user>/<bytes of memory if the server has no limit>`.
local function open_usage(first, limits, shares)
  local all, longest, which, count = {shares = shares}, 0, nil, 0
  local now
  for rate, size, cost, is_written in string.gmatch(limits, '([^/ ]+)/(%d+)/(%d+)/(%d)') do
    if not now then now = server_us() end
    local usage = {key = KEYS[first + #all], life_ms = 0, is_written = is_written == '1'}
    all[#all + 1] = usage
    local full_at
    full_at, usage.pending, usage.lasting, usage.expires_at =
      unpack(redis.call('HMGET', usage.key, 'full_at', 'pending', 'lasting', 'expires_at'))
    if rate ~= '0' then
      count = count + 1
      usage.unit, usage.size = 1000000 / rate, size
      local empty = size * usage.unit
      usage.full_in = math.min(math.max((full_at or 0) - now, 0), empty)
      usage.taken = cost * usage.unit
      local wait = usage.full_in + usage.taken - empty
      if wait > longest then longest, which = wait, count end
    end
  end
  if which then return nil, {'limited', remaining_in(all), which, integer(math.ceil(longest / 1000))} end
  for _, usage in ipairs(all) do
    usage.changes = {}
    if usage.full_in then
      usage.full_in = usage.full_in + usage.taken
      if usage.is_written then
        usage.changes = {'full_at', integer(now + usage.full_in)}
        usage.life_ms = math.ceil(usage.full_in / 1000)
      end
    end
  end
  all.now_ms = now and math.floor(now / 1000)
  all.remaining = remaining_in(all)
  return all
end

-- Write what a request has changed in its usage. `call` is `redis.pcall` for requests that only read: they are
-- served, and take nothing, if the server is full or does not accept writes.
local function store_usage(all, call)
  for _, usage in ipairs(all) do
    local changes, life_ms = usage.changes, nil
    if changes[1] then
      if all.now_ms + usage.life_ms > (usage.expires_at or 0) + 0 then
        life_ms = usage.life_ms + math.max(1000, math.floor(usage.life_ms / LASTING_HOURS))
        changes[#changes + 1] = 'expires_at'
        changes[#changes + 1] = integer(all.now_ms + life_ms)
      end
      call('HSET', usage.key, unpack(changes))
      if life_ms then call('PEXPIRE', usage.key, integer(life_ms)) end
    end
  end
end

-- The reply to a request that got past `open_usage`: it takes from the buckets, whatever its reply is, and the
-- reply says what remains in them.
local function served(all, reply, call)
  store_usage(all, call or redis.call)
  table.insert(reply, 2, all.remaining)
  return reply
end

local function change(usage, field, value)
  usage[field] = value
  usage.changes[#usage.changes + 1] = field
  usage.changes[#usage.changes + 1] = integer(value)
end

-- Count `bytes` more (or less) as pending of a counter that had `before` pending entries.
local function count_pending(all, bytes, before)
  local usage = all[1]
  if before == 0 then bytes = bytes + PENDING_SET_BYTES end
  change(usage, 'pending', math.max((usage.pending or 0) + bytes, 0))
  usage.life_ms = LASTING_MS
end

-- Count `bytes` more as stored for a day.
local function count_lasting(all, bytes)
  local hour = integer(math.floor(all.now_ms / HOUR_MS))
  if all[2] and not all[2].lasting then bytes = bytes + USER_BYTES end
  for _, usage in ipairs(all) do
    redis.call('HINCRBY', usage.key, hour, integer(bytes))
    change(usage, 'lasting', (usage.lasting or 0) + bytes)
    usage.life_ms = LASTING_MS
  end
end

-- Compute the budget of an application again, once a second, and when it stores `FREE_BYTES` more: its share of
-- the server's memory, and less while the memory is tight. So those that store most are refused first. Also
-- take off what is older than a day, of the application and of its user.
local function renew(all)
  local percent, percent_of_user, limit = string.match(all.shares, '^(%d+)/(%d+)/(%d+)$')
  local oldest = math.floor(all.now_ms / HOUR_MS) - LASTING_HOURS
  for i, usage in ipairs(all) do
    local renewed_at, renewed_bytes
    usage.budget, renewed_at, renewed_bytes =
      unpack(redis.call('HMGET', usage.key, 'budget', 'renewed_at', 'renewed_bytes'))
    local bytes = (usage.pending or 0) + (usage.lasting or 0)
    if math.abs(all.now_ms - (renewed_at or 0)) >= RENEW_MS or bytes - renewed_bytes >= FREE_BYTES then
      local lasting, stale = 0, {}
      local fields = redis.call('HGETALL', usage.key)
      for f = 1, #fields, 2 do
        local hour = tonumber(fields[f])
        if hour and hour < oldest then
          stale[#stale + 1] = fields[f]
        elseif hour then
          lasting = lasting + fields[f + 1]
        end
      end
      if stale[1] then redis.call('HDEL', usage.key, unpack(stale)) end
      change(usage, 'lasting', lasting)
      if i == 1 then
        local info, free = redis.call('INFO', 'memory'), 1
        local used, of_server = string.match(info, 'used_memory:(%d+)'), string.match(info, 'maxmemory:(%d+)')
        if of_server ~= '0' then
          limit, free = of_server, math.min(math.max((FULL - used / of_server) / (FULL - TIGHT), 0), 1)
        end
        change(usage, 'budget', math.floor(limit * percent / 100 * free))
      end
      change(usage, 'renewed_at', all.now_ms)
      change(usage, 'renewed_bytes', bytes)
    end
    if i == 2 then usage.budget = all[1].budget * percent_of_user / percent end
  end
end

-- Whether usage all[i] may have `more` bytes in `field`: `pending` or `lasting`.
local function is_within(all, i, field, more)
  local usage = all[i]
  if (usage[field] or 0) + more < FREE_BYTES then return true end
  if not all[1].budget then renew(all) end
  return (usage[field] or 0) + more <= usage.budget + 0
end

-- Returns nil, or the reply to a request that would store more than its application or its user may.
-- `counters` are the bytes of the application's counters, if the request can add one.
--
-- What is pending, and the counters, leave when the workers have caught up, so the request can come again soon.
-- What is stored for a day does not leave soon, and only a request that adds to it is refused.
local function over_budget(all, pending, counters, lasting)
  if not is_within(all, 1, 'pending', pending + counters) then return {'full'} end
  if lasting == 0 then return nil end
  for i = 1, #all do
    if not is_within(all, i, 'lasting', lasting) then return {'over', i} end
  end
end

local function counter_bytes(idle_key) return redis.call('ZCARD', idle_key) * COUNTER_BYTES end

-- Returns nil, or the reply to a request whose Idempotency-Key was used before: the first response, with those
-- of its versions that are still pending.
local function replay(idempotency_key, fingerprint, pending_key)
  local reply = redis.call('HMGET', idempotency_key, 'fingerprint', 'first', 'last', 'revision',
                           'created_at', 'holder', 'epoch', 'ceiling', 'kept')
  if not reply[1] then return nil end
  if reply[1] ~= fingerprint then return {'reused'} end
  reply[1] = 'replayed'
  reply[9] = reply[9] or ''
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', pending_key, reply[2], reply[3])) do
    reply[#reply + 1] = entry
  end
  return reply
end

-- Store the response to a request with an Idempotency-Key. `response` holds the fields
-- `first`, `last`, `revision` and `created_at` with their values, and for an edit `kept`.
local function store_idempotency(idempotency_key, ttl_ms, fingerprint, me, counter, response)
  redis.call('HSET', idempotency_key, 'fingerprint', fingerprint, 'holder', me, 'epoch', counter.epoch,
             'ceiling', counter.ceiling, unpack(response))
  redis.call('PEXPIRE', idempotency_key, ttl_ms)
end

-- The reply to a request that meets another one's attempt. A request waits once with the limits of its buckets
-- (`remaining` is not ''), and after that without, so each one is counted once.
local function wait_for(attempt, nonce_key, me, remaining)
  if attempt.nonce == '' then return {'unknown'} end
  if remaining ~= '' then
    if attempt.waiters >= MAX_WAITERS then return {'crowded'} end
    store_attempt(nonce_key, attempt.nonce, me, attempt.wait_until, attempt.abandoned, attempt.waiters + 1)
  end
  return {'contended'}
end

-- Returns the counter (its values are text) if this incarnation holds its lease. Otherwise nil, and the reply
-- that says what is missing. `keys` has the names of the keys; chat: '' for the chats' counter; `all` is the
-- usage of the request.
--
-- The invariant of the whole protocol is guarded here: only the incarnation that holds the lease issues
-- numbers. Three things could break it:
-- - A copy of the counter in another incarnation: its holder differs.
-- - A lost counter: it is missing, so a new lease is needed, even in the same incarnation.
-- - A lease that is being released to MySQL: the counter is releasing, and issues nothing any more.
--
-- Tests: tests/simulation (its defects remove each check), tests/contract/test_sequencer.py.
local function held(keys, chat, me, nonce, nonce_ms, all)
  local last, ceiling, holder, epoch, revision, deleted, releasing =
    unpack(redis.call('HMGET', keys.counter, 'last', 'ceiling', 'holder', 'epoch', 'revision', 'deleted',
                      'closing'))
  if deleted then return nil, {'gone'} end
  if holder == me then
    if releasing then return nil, {'releasing', me, epoch, last} end
    return {last = last, ceiling = ceiling, epoch = epoch, revision = revision}
  end
  local exists = last
  if chat ~= '' then
    local entry = pending_entry(keys.chats_pending, chat)
    if entry then
      exists = true
      local version = entry_version(entry)
      if version.deleted_at then return nil, {'gone'} end
      local counter = create_under_first_lease(keys.counter, keys.idle, version, me)
      if counter then return counter end
    end
  end
  local attempt, now, abandoned = read_attempt(keys.nonce, me), server_ms(), ''
  if attempt then
    if now < attempt.wait_until and not (exists and attempt.nonce == '') then
      return nil, wait_for(attempt, keys.nonce, me, all.remaining)
    end
    abandoned = attempt.abandoned
    if attempt.nonce ~= '' then abandoned = attempt.nonce .. ',' .. abandoned end
  end
  if not is_within(all, 1, 'pending', counter_bytes(keys.idle)) then return nil, {'full'} end
  store_attempt(keys.nonce, nonce, me, now + tonumber(nonce_ms), abandoned)
  local chats_last, chats_holder, chats_epoch =
    unpack(redis.call('HMGET', keys.chats, 'last', 'holder', 'epoch'))
  if chats_holder ~= me then return nil, {'missing', me, abandoned} end
  return nil, {'missing', me, abandoned, chats_epoch, chats_last}
end

-- Whether `count` more pending entries are too many for the counter or for the application. Then the workers
-- are behind, and requests must wait. Also returns how many entries of the counter are pending.
local function is_full(keys, count, max_of_counter, max_of_application)
  local before = redis.call('ZCARD', keys.pending)
  return before + count > tonumber(max_of_counter)
    or redis.call('ZCARD', keys.due) + count > tonumber(max_of_application), before
end

-- The nth revision under the lease of a counter. Revisions order the versions of one counter: those of a newer
-- epoch are above all of an older one.
local function revision_of(counter, n) return counter.epoch * 4294967296 + n end

-- Store a pending entry. Revision and number are text. Returns for how many bytes the entry counts.
local function store_pending(keys, chat, me, counter, now, due, number, revision, json)
  local entry = table.concat({revision, now, me, counter.epoch, counter.ceiling, json}, '|')
  redis.call('ZADD', keys.pending, number, entry)
  redis.call('ZADD', keys.due, due, (chat == '' and '0' or chat) .. ':' .. number)
  return #entry + ENTRY_BYTES
end
