-- Refuse all requests for deleted chats, or for a deleted application. This also works if the server is full.
--
-- KEYS  1… the messages' counter of each chat, or the application
-- ARGV  1 lifetime of the block, ms
-- Returns 0

for _, key in ipairs(KEYS) do
  also_if_full(key)
  redis.call('HSET', key, 'deleted', 1)
  redis.call('PEXPIRE', key, ARGV[1])
end
return 0
