-- Who was given the lease that a row keeps: the nonce of the attempt. What was given to an attempt that
-- was never installed is given again, so that a process that dies in between skips no numbers.

ALTER TABLE applications ADD COLUMN chats_nonce VARCHAR(64) NOT NULL DEFAULT '';
ALTER TABLE chats ADD COLUMN messages_nonce VARCHAR(64) NOT NULL DEFAULT '';
