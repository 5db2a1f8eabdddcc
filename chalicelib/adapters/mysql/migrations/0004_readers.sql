-- How far users have read, and which numbers of a chat are those of deleted messages.
--
-- `chat` is a number, not an id: a chat may be read before it has a row. `user` is text in UTF-8, kept as
-- bytes because as text two names that differ in the spaces at their end would be one.

CREATE TABLE IF NOT EXISTS readers (
  application_id BIGINT UNSIGNED NOT NULL,
  user           VARBINARY(1020) NOT NULL,
  chat           BIGINT UNSIGNED NOT NULL,
  number         BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (application_id, user, chat),
  KEY readers_of_chat (application_id, chat)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Written in the transaction that stores the deletion: how many lie in a range is a walk over a narrow index.
CREATE TABLE IF NOT EXISTS deleted_messages (
  chat_id BIGINT UNSIGNED NOT NULL,
  number  BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (chat_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO deleted_messages (chat_id, number)
SELECT chat_id, number FROM messages WHERE deleted_at IS NOT NULL;
