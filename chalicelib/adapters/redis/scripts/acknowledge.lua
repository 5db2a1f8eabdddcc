-- Remove pending entries that are persisted. A newer edit of the same number stays pending.
-- When nothing of a counter is pending any more, the counter is idle from now on.
--
-- KEYS  1 pending  2 due  3 idle  4 usage of the application
--       then the deletions of the chat, or, for the chats' counter, the messages' counter of each chat
-- ARGV  1 chat number, or '0' for the chats' counter  2 fixed holder or ''
--       then number, revision; number, revision; …
-- Returns how many entries were removed

local me = ARGV[1] == '0' and incarnation(ARGV[2])
local deletions = not me and redis.call('EXISTS', KEYS[5]) == 1
local removed, bytes = 0, 0
for i = 3, #ARGV, 2 do
  local entry = pending_entry(KEYS[1], ARGV[i])
  if not entry or entry_revision(entry) <= tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. ARGV[i])
    if deletions then redis.call('ZREM', KEYS[5], ARGV[i]) end
    if entry then
      -- The entry contains the first lease of the chat's messages. Without this, that lease would be lost,
      -- and the first message would acquire a second one.
      if me then create_under_first_lease(KEYS[4 + (i - 1) / 2], KEYS[3], entry_version(entry), me) end
      removed = removed + redis.call('ZREM', KEYS[1], entry)
      bytes = bytes + #entry + ENTRY_BYTES
    end
  end
end
if removed == 0 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 0 then
  bytes = bytes + PENDING_SET_BYTES
  redis.call('ZADD', KEYS[3], integer(server_ms()), ARGV[1])
end
local pending = redis.call('HGET', KEYS[4], 'pending')
if pending then redis.call('HSET', KEYS[4], 'pending', integer(math.max(pending - bytes, 0))) end
return removed
