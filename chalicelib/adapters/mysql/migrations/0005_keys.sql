-- Until when the version of the secret key before `key_version` is still valid. NULL: it is not.

ALTER TABLE applications ADD COLUMN previous_key_until DATETIME(3) NULL;
