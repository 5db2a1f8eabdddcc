-- Give up an attempt to acquire a lease that MySQL did not grant, as if it had not been made.
--
-- KEYS  1 nonce
-- ARGV  1 nonce  2 fixed holder or ''
-- Returns 0

local me = incarnation(ARGV[2])
local attempt = read_attempt(KEYS[1], me)
if attempt and attempt.nonce == ARGV[1] then
  local earlier, rest = string.match(attempt.abandoned, '^(%x*),(.*)$')
  if earlier then
    store_attempt(KEYS[1], earlier, me, 0, rest)
  else
    redis.call('DEL', KEYS[1])
  end
end
return 0
