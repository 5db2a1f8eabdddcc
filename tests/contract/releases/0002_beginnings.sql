-- Migrations of the release: 1 2
INSERT INTO applications (token, name, created_at) VALUES ('acme', 'Acme', '2026-01-31 12:00:00.000');
SELECT token, name, chats_count, created_at, key_version, deleted_at FROM applications WHERE token = 'acme' AND deleted_at IS NULL;
INSERT INTO applications (token, name, created_at) VALUES ('left', 'leaves', '2026-01-31 12:00:00.000');
UPDATE applications SET name = 'Acme & Söhne ☕' WHERE token = 'acme' AND deleted_at IS NULL;
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ('acme');
SELECT id, token, name, created_at, deleted_at, chats_count, chats_floor, chats_ceiling, chats_holder, chats_epoch, chats_nonce
FROM applications FORCE INDEX (PRIMARY) WHERE id IN (1) ORDER BY id FOR UPDATE;
SELECT application_id, number, id FROM chats WHERE (application_id = 1 AND number IN (1,2,3));
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling)
VALUES (1, 1, 1, 'Général ☕', '{\"a\":[1,null]}', '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10),(1, 2, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10),(1, 3, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (1, 'acme', 'Acme & Söhne ☕', '2026-01-31 12:00:00.000', 3, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
SELECT id, application_id, number, revision, created_at, deleted_at, messages_count, last_message_number, messages_floor, messages_ceiling, messages_holder, messages_epoch, messages_nonce
FROM chats FORCE INDEX (PRIMARY) WHERE id IN (1) ORDER BY id FOR UPDATE;
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 1, 1, 'Grüße 👋\n\'quoted\'', 'ann', '{\"b\":2}', '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 2, 2, '2.2', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, 'key'),(1, 3, 3, '3.3', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 3, 3, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 5, 5, '5.5', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 4, 4, '4.4', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 6, 6, '6.6', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 6, 6, 0, 16)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT chat_id, number, revision, deleted_at IS NOT NULL FROM messages WHERE (chat_id = 1 AND number IN (2,3));
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 2, 9, 'edited', NULL, NULL, '2026-01-31 12:00:00.000', '2026-02-01 08:30:00.250', NULL, NULL),(1, 3, 10, '', NULL, NULL, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)

ON DUPLICATE KEY UPDATE revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 5, 6, 0, 16)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 5, 11, '', NULL, NULL, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)

ON DUPLICATE KEY UPDATE revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 4, 6, 0, 16)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (2, 1, 2, '', NULL, NULL, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL),(2, 2, 3, '2.3', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (2, 1, 2, '2026-01-31 12:00:00.000', 1, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (2, 1, 2, '2026-01-31 12:00:00.000', 1, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (3, 1, 1, '1.1', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(3, 2, 2, '2.2', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (3, 1, 3, '2026-01-31 12:00:00.000', 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling)
VALUES (1, 4, '2026-01-31 12:00:00.000', 'memory-1', 1, 10);
UPDATE applications SET chats_count = chats_count + 1 WHERE id = 1;
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (4, 2, 2, '2.2', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(4, 1, 1, '1.1', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (4, 1, 4, '2026-01-31 12:00:00.000', 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT id, deleted_at FROM applications WHERE token = 'acme';
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), 0) AS previous FROM (
    SELECT number FROM messages WHERE chat_id = 1 AND number > 0 AND number <= 16
    UNION ALL SELECT 17
  ) AS used
) AS walk WHERE number > previous + 1 ORDER BY number;
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (1, 1, 7, 16, '2026-02-01 08:30:00.250');
UPDATE chats
SET messages_floor = 16, messages_ceiling = 26, messages_holder = 'memory-2', messages_epoch = 2,
  messages_nonce = 'nonce-2'
WHERE id = 1;
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 17, 8589934592, '17.8589934592', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 5, 17, 16, 26)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
UPDATE chats
SET messages_floor = 16, messages_ceiling = 36, messages_holder = 'memory-2', messages_epoch = 2,
  messages_nonce = 'nonce-2'
WHERE id = 1;
INSERT INTO chats (id, application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key)
VALUES (3, 1, 3, 5, NULL, NULL, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)
ON DUPLICATE KEY UPDATE revision = VALUES(revision), title = VALUES(title),
  metadata = VALUES(metadata), created_at = VALUES(created_at), edited_at = VALUES(edited_at),
  deleted_at = VALUES(deleted_at), idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (3, 1, 3, '2026-01-31 12:00:00.000', 0, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (1, 'acme', 'Acme & Söhne ☕', '2026-01-31 12:00:00.000', 3, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling)
VALUES (2, 1, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (2, 'left', 'leaves', '2026-01-31 12:00:00.000', 1, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (5, 1, 1, '1.1', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(5, 2, 2, '2.2', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (5, 2, 1, '2026-01-31 12:00:00.000', 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
UPDATE applications SET deleted_at = '2026-02-01 08:30:00.250' WHERE token = 'left' AND deleted_at IS NULL;
SELECT token, name, chats_count, created_at, key_version, deleted_at FROM applications WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 10;
SELECT token FROM applications WHERE deleted_at IS NULL ORDER BY id LIMIT 10;
SELECT 
c.number, c.revision, c.title, c.metadata, c.created_at, c.edited_at, c.deleted_at,
c.idempotency_key, c.messages_count, c.last_message_number
 FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.number > 0 AND c.number < 9223372036854775807
  AND c.deleted_at IS NULL
ORDER BY c.number DESC LIMIT 10;
SELECT 
c.number, c.revision, c.title, c.metadata, c.created_at, c.edited_at, c.deleted_at,
c.idempotency_key, c.messages_count, c.last_message_number
 FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.number = 1;
SELECT 
m.number, m.revision, m.body, m.sender, m.metadata, m.created_at, m.edited_at, m.deleted_at,
m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND m.number > 0 AND m.number < 9223372036854775807 AND m.deleted_at IS NULL
ORDER BY m.number DESC LIMIT 10;
SELECT 
m.number, m.revision, m.body, m.sender, m.metadata, m.created_at, m.edited_at, m.deleted_at,
m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND m.number = 3;
SELECT m.number, m.revision 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id
 WHERE a.token = 'acme' AND m.number IN (1,2,3);
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`;
SELECT number FROM messages WHERE chat_id = 1 AND (number BETWEEN 7 AND 16) ORDER BY number;
SELECT a.chats_ceiling, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= 9 AND s.`last` >= 9 AND s.`at` < '2026-02-01 08:30:00.250'
) FROM applications a WHERE a.token = 'acme' AND a.deleted_at IS NULL;
-- After the migrations of later releases
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ('acme');
SELECT id, token, name, created_at, deleted_at, chats_count, chats_floor, chats_ceiling, chats_holder, chats_epoch, chats_nonce
FROM applications FORCE INDEX (PRIMARY) WHERE id IN (1) ORDER BY id FOR UPDATE;
SELECT application_id, number, id FROM chats WHERE (application_id = 1 AND number IN (4,5));
SELECT id, application_id, number, revision, created_at, deleted_at, messages_count, last_message_number, messages_floor, messages_ceiling, messages_holder, messages_epoch, messages_nonce
FROM chats FORCE INDEX (PRIMARY) WHERE id IN (4) ORDER BY id FOR UPDATE;
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling)
VALUES (1, 5, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10);
INSERT INTO chats (id, application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key)
VALUES (4, 1, 4, 1, 'late', NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL)
ON DUPLICATE KEY UPDATE revision = VALUES(revision), title = VALUES(title),
  metadata = VALUES(metadata), created_at = VALUES(created_at), edited_at = VALUES(edited_at),
  deleted_at = VALUES(deleted_at), idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (4, 1, 4, '2026-01-31 12:00:00.000', 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (1, 'acme', 'Acme & Söhne ☕', '2026-01-31 12:00:00.000', 4, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 18, 12884901888, '18.12884901888', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 19, 12884901889, '19.12884901889', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 7, 19, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT chat_id, number, revision, deleted_at IS NOT NULL FROM messages WHERE (chat_id = 1 AND number IN (8));
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 8, 8, '8.8', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 8, 19, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 1, 12884901890, 'edited later', NULL, NULL, '2026-01-31 12:00:00.000', '2026-02-01 08:30:00.250', NULL, NULL)

ON DUPLICATE KEY UPDATE revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 8, 19, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 18, 12884901891, '', NULL, NULL, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL),(1, 4, 12884901892, '', NULL, NULL, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)

ON DUPLICATE KEY UPDATE revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 6, 19, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 5, 12884901893, 'back', NULL, NULL, '2026-01-31 12:00:00.000', '2026-02-01 08:30:00.250', NULL, NULL)

ON DUPLICATE KEY UPDATE revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 7, 19, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling)
VALUES (1, 6, '2026-01-31 12:00:00.000', 'memory-1', 1, 10);
UPDATE applications SET chats_count = chats_count + 1 WHERE id = 1;
INSERT INTO messages (chat_id, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (7, 1, 1, '1.1', NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, messages_floor, messages_ceiling)
VALUES (7, 1, 6, '2026-01-31 12:00:00.000', 1, 1, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT id, deleted_at FROM applications WHERE token = 'acme';
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), 16) AS previous FROM (
    SELECT number FROM messages WHERE chat_id = 1 AND number > 16 AND number <= 36
    UNION ALL SELECT 37
  ) AS used
) AS walk WHERE number > previous + 1 ORDER BY number;
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (1, 1, 20, 36, '2026-02-01 08:30:00.250');
UPDATE chats
SET messages_floor = 36, messages_ceiling = 46, messages_holder = 'memory-3', messages_epoch = 3,
  messages_nonce = 'nonce-3'
WHERE id = 1;
UPDATE chats
SET messages_floor = 36, messages_ceiling = 36, messages_holder = '', messages_epoch = 3,
  messages_nonce = ''
WHERE id = 1;
INSERT INTO applications (token, name, created_at) VALUES ('other', 'another', '2026-01-31 12:00:00.000');
SELECT token, name, chats_count, created_at, key_version, deleted_at FROM applications WHERE token = 'other' AND deleted_at IS NULL;
SELECT a.id FROM applications a
WHERE a.deleted_at IS NOT NULL
  AND (a.deleted_at < '2026-02-01 08:30:00.250' OR EXISTS (SELECT 1 FROM chats c WHERE c.application_id = a.id))
ORDER BY a.deleted_at LIMIT 100;
SELECT c.id, a.token FROM chats c JOIN applications a ON a.id = c.application_id
WHERE c.purged_at IS NULL AND c.deleted_at IS NOT NULL AND a.deleted_at IS NULL
  AND (c.deleted_at < '2026-02-01 08:30:00.250' OR EXISTS (SELECT 1 FROM messages m WHERE m.chat_id = c.id))
ORDER BY c.deleted_at LIMIT 100;
SELECT id FROM chats WHERE application_id IN (2) LIMIT 100;
DELETE FROM messages WHERE chat_id = 3 ORDER BY number LIMIT 2;
SELECT token, name, chats_count, created_at, key_version, deleted_at FROM applications WHERE deleted_at IS NULL ORDER BY id DESC LIMIT 10;
SELECT token FROM applications WHERE deleted_at IS NULL ORDER BY id LIMIT 10;
SELECT 
c.number, c.revision, c.title, c.metadata, c.created_at, c.edited_at, c.deleted_at,
c.idempotency_key, c.messages_count, c.last_message_number
 FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.number > 0 AND c.number < 9223372036854775807
  AND c.deleted_at IS NULL
ORDER BY c.number DESC LIMIT 10;
SELECT 
c.number, c.revision, c.title, c.metadata, c.created_at, c.edited_at, c.deleted_at,
c.idempotency_key, c.messages_count, c.last_message_number
 FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.number = 1;
SELECT 
m.number, m.revision, m.body, m.sender, m.metadata, m.created_at, m.edited_at, m.deleted_at,
m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND m.number > 0 AND m.number < 9223372036854775807 AND m.deleted_at IS NULL
ORDER BY m.number DESC LIMIT 10;
SELECT 
m.number, m.revision, m.body, m.sender, m.metadata, m.created_at, m.edited_at, m.deleted_at,
m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND m.number = 3;
SELECT m.number, m.revision 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id
 WHERE a.token = 'acme' AND m.number IN (1,2,3);
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`;
SELECT number FROM messages WHERE chat_id = 1 AND (number BETWEEN 7 AND 16 OR number BETWEEN 20 AND 36) ORDER BY number;
SELECT a.chats_ceiling, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= 9 AND s.`last` >= 9 AND s.`at` < '2026-02-01 08:30:00.250'
) FROM applications a WHERE a.token = 'acme' AND a.deleted_at IS NULL;
