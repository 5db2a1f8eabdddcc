-- The tables of Ordinal.
--
-- Runs on MySQL 8.4 and later and on MariaDB 11.4. Forward only; each statement may run again.
-- Times are UTC. A `*_ceiling` is the highest number that any memory was ever allowed to hand out,
-- `*_holder` and `*_epoch` name the memory that holds the lease now. Every number up to `*_floor` has
-- a row or is among `skipped_numbers`.
-- No foreign keys: everything below an application can be sharded by `application_id`.

CREATE TABLE IF NOT EXISTS applications (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  token         VARCHAR(64) NOT NULL,
  name          VARCHAR(255) NOT NULL,
  key_version   INT UNSIGNED NOT NULL DEFAULT 1,
  chats_count   BIGINT UNSIGNED NOT NULL DEFAULT 0,
  chats_floor   BIGINT UNSIGNED NOT NULL DEFAULT 0,
  chats_ceiling BIGINT UNSIGNED NOT NULL DEFAULT 0,
  chats_holder  VARCHAR(255) NOT NULL DEFAULT '',
  chats_epoch   BIGINT UNSIGNED NOT NULL DEFAULT 0,
  created_at    DATETIME(3) NOT NULL,
  deleted_at    DATETIME(3) NULL,
  UNIQUE KEY applications_token (token),
  KEY applications_deleted (deleted_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A stub (made by a message that came before its chat) has revision 0.
CREATE TABLE IF NOT EXISTS chats (
  id                  BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  application_id      BIGINT UNSIGNED NOT NULL,
  number              BIGINT UNSIGNED NOT NULL,
  revision            BIGINT UNSIGNED NOT NULL DEFAULT 0,
  title               VARCHAR(255) NULL,
  metadata            TEXT NULL,
  messages_count      BIGINT UNSIGNED NOT NULL DEFAULT 0,
  last_message_number BIGINT UNSIGNED NOT NULL DEFAULT 0,
  messages_floor      BIGINT UNSIGNED NOT NULL DEFAULT 0,
  messages_ceiling    BIGINT UNSIGNED NOT NULL DEFAULT 0,
  messages_holder     VARCHAR(255) NOT NULL DEFAULT '',
  messages_epoch      BIGINT UNSIGNED NOT NULL DEFAULT 0,
  created_at          DATETIME(3) NOT NULL,
  edited_at           DATETIME(3) NULL,
  deleted_at          DATETIME(3) NULL,
  purged_at           DATETIME(3) NULL,
  idempotency_key     VARCHAR(255) NULL,
  UNIQUE KEY chats_number (application_id, number),
  KEY chats_to_purge (purged_at, deleted_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A page of a chat is one range of the clustered index.
CREATE TABLE IF NOT EXISTS messages (
  chat_id         BIGINT UNSIGNED NOT NULL,
  number          BIGINT UNSIGNED NOT NULL,
  revision        BIGINT UNSIGNED NOT NULL,
  body            MEDIUMTEXT NOT NULL,
  sender          VARCHAR(255) NULL,
  metadata        TEXT NULL,
  created_at      DATETIME(3) NOT NULL,
  edited_at       DATETIME(3) NULL,
  deleted_at      DATETIME(3) NULL,
  idempotency_key VARCHAR(255) NULL,
  PRIMARY KEY (chat_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Numbers that had no row when a lease was begun over them. `chat_id` is NULL for chat numbers.
CREATE TABLE IF NOT EXISTS skipped_numbers (
  id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  application_id BIGINT UNSIGNED NOT NULL,
  chat_id        BIGINT UNSIGNED NULL,
  `first`        BIGINT UNSIGNED NOT NULL,
  `last`         BIGINT UNSIGNED NOT NULL,
  `at`           DATETIME(3) NOT NULL,
  KEY skipped_of_parent (application_id, chat_id, `first`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
