-- Give up beginning a lease for which MySQL was not asked: as if it had not been tried.
--
-- KEYS  1 nonce
-- ARGV  1 nonce  2 fixed holder or ''

local me = incarnation(ARGV[2])
local left = acquiring(KEYS[1], me)
if left and left.nonce == ARGV[1] then
  local earlier, rest = string.match(left.abandoned, '^(%x*),(.*)$')
  if earlier then
    store_acquiring(KEYS[1], earlier, me, 0, rest)
  else
    redis.call('DEL', KEYS[1])
  end
end
return 0
