-- Read the pending versions of a range of a counter's numbers, in descending or ascending order. For a
-- request that writes, also look up the response that its Idempotency-Key got before.
--
-- KEYS  1 application  2 counter  3 pending  4 chats' pending
--       then the usage of the application and of the user, if they have limits
--       then the idempotency record (only if the request has a key)
-- ARGV  1 key version  2 chat number or ''  3 lowest number or '-inf'  4 highest number or '+inf'
--       5 'asc' or 'desc'  6 most entries  7 fingerprint or ''  8 limits (`open_usage`)
--       9 fixed holder or ''  10 nonce  11 most bytes of the entries; one entry may have more
-- Returns {'pending', remaining in the buckets, known (0 or 1), edits, last number issued here or '', pending entry…};
--         the last entry is '' if more are pending than the page has
--         {'replayed', remaining, first, last, revision, created_at, holder, epoch, ceiling, kept, pending entry…}
--         {'limited', remaining, index of the bucket that has too little, ms until it has enough}
--         {'gone', remaining} {'reused', remaining} {'not_cached', nonce} {'deleted'} {'key'}

local me = incarnation(ARGV[9])
local refused = refusal(KEYS[1], ARGV[1], me, ARGV[10])
if refused then return refused end
local all, limited = open_usage(5, ARGV[8])
if not all then return limited end
local idempotency_key = ARGV[7] ~= '' and KEYS[5 + #all]
local replayed = idempotency_key and replay(idempotency_key, ARGV[7], KEYS[3])
if replayed then return served(all, replayed, redis.pcall) end

local is_known = chat_known(KEYS[2], KEYS[4], ARGV[2])
if not is_known then return served(all, {'gone'}, redis.pcall) end
local function read_range(offset, count)
  if ARGV[5] == 'asc' then
    return redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[3], ARGV[4], 'LIMIT', offset, count)
  end
  return redis.call('ZREVRANGEBYSCORE', KEYS[3], ARGV[4], ARGV[3], 'LIMIT', offset, count)
end

-- Few at a time: an entry may have 120 kB, and what does not fit into the page is not read.
local entries, bytes, most, is_full = {}, 0, tonumber(ARGV[6]), false
repeat
  local count = math.min(20, most + 1 - #entries)
  local chunk = read_range(#entries, count)
  for _, entry in ipairs(chunk) do
    bytes = bytes + #entry
    is_full = #entries == most or #entries > 0 and bytes > tonumber(ARGV[11])
    entries[#entries + 1] = is_full and '' or entry
    if is_full then break end
  end
until is_full or #chunk < count
-- A copy of the counter in another incarnation does not know the last number.
local edits, last, holder = unpack(redis.call('HMGET', KEYS[2], 'edits', 'last', 'holder'))
return served(all, {'pending', is_known, edits or '0', holder == me and last or '', unpack(entries)},
              redis.pcall)
