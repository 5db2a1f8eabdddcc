-- What requests that go straight to this database were answered, by their Idempotency-Key, for 24 hours.
-- A mark is written in the transaction of the change, so that a retry finds both or none.
-- `scope` is who sent the request: an application's token, or `admin`. `answer` holds no secret.

CREATE TABLE IF NOT EXISTS idempotency_marks (
  scope       VARCHAR(64) NOT NULL,
  key_hash    CHAR(64) NOT NULL,
  fingerprint CHAR(64) NOT NULL,
  answer      TEXT NOT NULL,
  `at`        DATETIME(3) NOT NULL,
  PRIMARY KEY (scope, key_hash),
  KEY marks_at (`at`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
