-- What a restore from an older backup lost, as the operator says it (`chatctl lift`). Up to `lost_chats`, a
-- chat that has no row may have been there: if a late record brings it back, up to `lost_numbers` more than
-- the record knows may have been given in it, in `lost_epochs` more leases.

ALTER TABLE applications ADD COLUMN lost_chats BIGINT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM = INSTANT;
ALTER TABLE applications ADD COLUMN lost_numbers BIGINT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM = INSTANT;
ALTER TABLE applications ADD COLUMN lost_epochs BIGINT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM = INSTANT;
