-- Whether the metadata of a message was written with the secret key: then no user changes it. And the order of
-- the list of applications, whose pages must not depend on the rows of earlier pages.

ALTER TABLE messages ADD COLUMN metadata_by_server TINYINT(1) NOT NULL DEFAULT 0, ALGORITHM = INSTANT;
ALTER TABLE applications ADD KEY applications_by_age (created_at, token),
  ALGORITHM = INPLACE, LOCK = NONE;
