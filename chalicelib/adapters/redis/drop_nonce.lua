-- Give up beginning a lease.
--
-- KEYS  1 nonce
-- ARGV  1 nonce

local left = redis.call('GET', KEYS[1])
if left and string.match(left, '^(.*)|') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
