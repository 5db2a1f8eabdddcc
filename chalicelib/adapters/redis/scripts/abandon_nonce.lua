-- Give up an attempt to acquire a lease that MySQL did not grant, as if it had not been made. If MySQL does not
-- have the chat, remember that for a moment, so that MySQL is not asked for each request.
--
-- A chat that is created in this moment is found all the same: the scripts look for its counter and its pending
-- entry first. A chat that was created since the attempt began is not forgotten: it has one of them, or its
-- counter was released, and then the attempt has expired (`forget_released.lua`).
--
-- KEYS  1 nonce  2 counter  3 chats' pending
-- ARGV  1 nonce  2 fixed holder or ''  3 chat number, or '0' for the chats' counter
--       4 how long the chat is known not to exist, ms, or 0
-- Returns 0

local me, absent_ms = incarnation(ARGV[2]), tonumber(ARGV[4])
local attempt = read_attempt(KEYS[1], me)
if attempt and attempt.nonce == ARGV[1] then
  local now = server_ms()
  local exists = redis.call('EXISTS', KEYS[2]) == 1 or pending_entry(KEYS[3], ARGV[3])
  local earlier, rest = string.match(attempt.abandoned, '^(%x*),(.*)$')
  if absent_ms > 0 and now < attempt.wait_until and not exists then
    store_attempt(KEYS[1], '', me, now + absent_ms, attempt.abandoned, nil, not earlier and absent_ms)
  elseif earlier then
    store_attempt(KEYS[1], earlier, me, 0, rest)
  else
    redis.call('DEL', KEYS[1])
  end
end
return 0
