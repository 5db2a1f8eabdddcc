-- How far the tasks of the schedule have come on their rounds over all applications, and an index that finds
-- the deleted chats of one application that are not purged yet.

CREATE TABLE IF NOT EXISTS task_rounds (
  task  VARCHAR(64) NOT NULL PRIMARY KEY,
  state VARCHAR(1000) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE chats ADD KEY chats_deleted (application_id, purged_at, deleted_at),
  ALGORITHM = INPLACE, LOCK = NONE;
