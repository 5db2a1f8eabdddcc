-- The order in which the states of a chat's messages were stored: each state takes the next position of
-- its chat, under the lock of the chat's row. Messages from before this have position 0, and are ordered
-- by their numbers. Written to while it runs: no statement copies or locks the table.

ALTER TABLE chats ADD COLUMN last_position BIGINT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM = INSTANT;
ALTER TABLE messages ADD COLUMN position BIGINT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM = INSTANT;
ALTER TABLE messages ADD KEY messages_by_position (chat_id, position, number),
  ALGORITHM = INPLACE, LOCK = NONE;
