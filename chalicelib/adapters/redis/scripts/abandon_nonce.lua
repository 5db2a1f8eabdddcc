-- Give up an attempt to acquire a lease that MySQL did not grant, as if it had not been made. If MySQL does not
-- have the chat, remember that for a moment, so that MySQL is not asked for each request.
--
-- A chat that is created in this moment is found all the same: the scripts look for its counter and its pending
-- entry first.
--
-- KEYS  1 nonce
-- ARGV  1 nonce  2 fixed holder or ''  3 how long the chat is known not to exist, ms, or 0
-- Returns 0

local me, absent_ms = incarnation(ARGV[2]), tonumber(ARGV[3])
local attempt = read_attempt(KEYS[1], me)
if attempt and attempt.nonce == ARGV[1] then
  local earlier, rest = string.match(attempt.abandoned, '^(%x*),(.*)$')
  if absent_ms > 0 then
    store_attempt(KEYS[1], '', me, server_ms() + absent_ms, attempt.abandoned, nil, not earlier and absent_ms)
  elseif earlier then
    store_attempt(KEYS[1], earlier, me, 0, rest)
  else
    redis.call('DEL', KEYS[1])
  end
end
return 0
