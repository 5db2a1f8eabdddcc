-- Drop pending entries that are persisted. A newer edit may sit there by now: it stays.
--
-- A counter that nothing is pending of any more is quiet from now on.
--
-- KEYS  1 pending  2 due  3 quiet  then the chat's deletions, or, where chats are settled, the counter of
--       each one's messages
-- ARGV  1 chat number or '0' where chats are settled  2 fixed holder or ''
--       then number, revision; number, revision; …
-- Returns how many were dropped

local me = ARGV[1] == '0' and incarnation(ARGV[2])
local deletions = not me and redis.call('EXISTS', KEYS[4]) == 1
local dropped = 0
for i = 3, #ARGV, 2 do
  local entry = pending_entry(KEYS[1], ARGV[i])
  if not entry or entry_revision(entry) <= tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. ARGV[i])
    if deletions then redis.call('ZREM', KEYS[4], ARGV[i]) end
    if entry then
      -- The first lease must not go with the entry: the first message would begin a second one.
      if me then first_lease(KEYS[3 + (i - 1) / 2], KEYS[3], entry_state(entry), me) end
      dropped = dropped + redis.call('ZREM', KEYS[1], entry)
    end
  end
end
if dropped > 0 and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZADD', KEYS[3], whole(server_ms()), ARGV[1])
end
return dropped
