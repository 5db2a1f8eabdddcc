-- Migrations of the release: 1 2 3 4 5 6 7 8 9
INSERT INTO applications (token, name, created_at) VALUES ('acme', 'Acme', '2026-01-31 12:00:00.000');
SELECT token, name, chats_count, created_at, key_version, previous_key_until, deleted_at FROM applications WHERE token = 'acme' AND deleted_at IS NULL;
DELETE FROM idempotency_marks WHERE scope = 'admin' AND key_hash = 'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb' AND `at` < '2026-01-30 12:00:00.000';
INSERT IGNORE INTO idempotency_marks (scope, key_hash, `at`, fingerprint, answer)
VALUES ('admin', 'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb', '2026-01-31 12:00:00.000', 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff', '{\"token\":\"acme\",\"name\":\"Acme\",\"chats_count\":0,\"created_at\":\"2026-01-31T12:00:00.000Z\",\"key_version\":1,\"previous_key_until\":null,\"deleted_at\":null}');
INSERT INTO applications (token, name, created_at) VALUES ('left', 'leaves', '2026-01-31 12:00:00.000');
UPDATE applications SET name = 'Acme & Söhne ☕' WHERE token = 'acme' AND deleted_at IS NULL;
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ('acme');
SELECT id, token, name, created_at, deleted_at, chats_count, chats_floor, chats_ceiling, chats_holder, chats_epoch, chats_nonce, lost_chats, lost_numbers, lost_epochs
FROM applications FORCE INDEX (PRIMARY) WHERE id IN (1) ORDER BY id FOR UPDATE;
SELECT application_id, number, id FROM chats WHERE (application_id = 1 AND number IN (1,2,3));
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (1, 1, 1, 'Général ☕', '{\"a\":[1,null]}', '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10, 0),(1, 2, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10, 0),(1, 3, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10, 0);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (1, 'acme', 'Acme & Söhne ☕', '2026-01-31 12:00:00.000', 3, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
SELECT id, application_id, number, revision, created_at, deleted_at, messages_count, last_message_number, last_position, messages_floor, messages_ceiling, messages_holder, messages_epoch, messages_nonce
FROM chats FORCE INDEX (PRIMARY) WHERE id IN (1) ORDER BY id FOR UPDATE;
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 1, 1, 1, 'Grüße 👋\n\'quoted\'', 'ann', '{\"b\":2}', 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 2, 2, 2, '2.2', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, 'key'),(1, 3, 3, 3, '3.3', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 3, 3, 3, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 4, 4, 4, '4.4', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 5, 5, 5, '5.5', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 6, 6, 6, '6.6', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 6, 6, 6, 0, 16)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT chat_id, number, revision, deleted_at IS NOT NULL FROM messages WHERE (chat_id = 1 AND number IN (2,3));
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 7, 2, 9, 'edited', NULL, NULL, 0, '2026-01-31 12:00:00.000', '2026-02-01 08:30:00.250', NULL, NULL),(1, 8, 3, 10, '', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)

ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata),
  metadata_by_server = VALUES(metadata_by_server), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO deleted_messages (chat_id, number) VALUES (1, 3)
ON DUPLICATE KEY UPDATE number = VALUES(number);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 5, 6, 8, 0, 16)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 9, 5, 11, '', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)

ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata),
  metadata_by_server = VALUES(metadata_by_server), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO deleted_messages (chat_id, number) VALUES (1, 5)
ON DUPLICATE KEY UPDATE number = VALUES(number);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 4, 6, 9, 0, 16)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (2, 1, 1, 2, '', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL),(2, 2, 2, 3, '2.3', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO deleted_messages (chat_id, number) VALUES (2, 1)
ON DUPLICATE KEY UPDATE number = VALUES(number);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (2, 1, 2, '2026-01-31 12:00:00.000', 1, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (2, 1, 2, '2026-01-31 12:00:00.000', 1, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (3, 1, 1, 1, '1.1', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(3, 2, 2, 2, '2.2', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (3, 1, 3, '2026-01-31 12:00:00.000', 2, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (1, 4, '2026-01-31 12:00:00.000', 'memory-1', 1, 10, 0);
UPDATE applications SET chats_count = chats_count + 1 WHERE id = 1;
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (4, 1, 1, 1, '1.1', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(4, 2, 2, 2, '2.2', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (4, 1, 4, '2026-01-31 12:00:00.000', 2, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT id, deleted_at FROM applications WHERE token = 'acme';
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), 0) AS previous FROM (
    SELECT number FROM messages WHERE chat_id = 1 AND number > 0 AND number <= 16
    UNION ALL SELECT 17
  ) AS used
) AS neighbours WHERE number > previous + 1 ORDER BY number;
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (1, 1, 7, 16, '2026-02-01 08:30:00.250');
UPDATE chats
SET messages_floor = 16, messages_ceiling = 26, messages_holder = 'memory-2', messages_epoch = 2,
  messages_nonce = 'nonce-2'
WHERE id = 1;
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 10, 17, 8589934592, '17.8589934592', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 5, 17, 10, 16, 26)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
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
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (3, 1, 3, '2026-01-31 12:00:00.000', 0, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (1, 'acme', 'Acme & Söhne ☕', '2026-01-31 12:00:00.000', 3, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (2, 1, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10, 0);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (2, 'left', 'leaves', '2026-01-31 12:00:00.000', 1, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (5, 1, 1, 1, '1.1', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(5, 2, 2, 2, '2.2', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (5, 2, 1, '2026-01-31 12:00:00.000', 2, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
UPDATE applications SET deleted_at = '2026-02-01 08:30:00.250' WHERE token = 'left' AND deleted_at IS NULL;
INSERT INTO readers (application_id, user, chat, number)
SELECT a.id, X'616e6e', 1, LEAST(4, GREATEST(0, COALESCE(c.last_message_number, 0)))
FROM applications a LEFT JOIN chats c ON c.application_id = a.id AND c.number = 1
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
ON DUPLICATE KEY UPDATE number = GREATEST(readers.number, VALUES(number));
INSERT INTO readers (application_id, user, chat, number)
SELECT a.id, X'626f62', 2, LEAST(1, GREATEST(0, COALESCE(c.last_message_number, 0)))
FROM applications a LEFT JOIN chats c ON c.application_id = a.id AND c.number = 2
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
ON DUPLICATE KEY UPDATE number = GREATEST(readers.number, VALUES(number));
SELECT token, name, chats_count, created_at, key_version, previous_key_until, deleted_at FROM applications FORCE INDEX (applications_by_age) WHERE deleted_at IS NULL
ORDER BY created_at DESC, token DESC LIMIT 10;
SELECT id, token FROM applications WHERE deleted_at IS NULL AND id > 0 ORDER BY id LIMIT 10;
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
SELECT m.position, CHAR_LENGTH(m.body), 
m.number, m.revision, IF(CHAR_LENGTH(m.body) <= 2000, m.body, NULL), m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND m.number > 0 AND m.number < 9223372036854775807 AND m.deleted_at IS NULL
ORDER BY m.number DESC LIMIT 10;
SELECT 
m.number, m.revision, m.body, m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND m.number = 3;
SELECT c.id, c.number FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = 'acme' AND c.number IN (1);
SELECT chat_id, number, revision FROM messages WHERE (chat_id = 1 AND number IN (1,2,3));
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`;
SELECT number FROM messages WHERE chat_id = 1 AND (number BETWEEN 7 AND 16) ORDER BY number;
SELECT a.chats_ceiling, a.chats_holder, a.chats_epoch, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= 9 AND s.`last` >= 9 AND s.`at` < '2026-02-01 08:30:00.250'
) FROM applications a WHERE a.token = 'acme' AND a.deleted_at IS NULL;
SELECT m.position, CHAR_LENGTH(m.body), 
m.number, m.revision, IF(CHAR_LENGTH(m.body) <= 2000, m.body, NULL), m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key

FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m FORCE INDEX (messages_by_position) ON m.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND (m.position > 0 OR (m.position = 0 AND m.number > 0))
ORDER BY m.position, m.number LIMIT 10;
SELECT r.chat, r.number
FROM applications a
JOIN readers r ON r.application_id = a.id AND r.user = X'616e6e'
LEFT JOIN chats c ON c.application_id = a.id AND c.number = r.chat
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND r.chat > 0 AND r.chat < 9223372036854775807
  AND c.deleted_at IS NULL
ORDER BY r.chat DESC LIMIT 10;
SELECT c.number, c.id, c.last_message_number, c.deleted_at IS NOT NULL, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id
LEFT JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.number IN (1)
ORDER BY c.number, s.`first`;
SELECT 0, (
SELECT COUNT(*) FROM deleted_messages WHERE chat_id = 1 AND number > 2 AND number <= 17
), (0), (SELECT COUNT(*) FROM messages WHERE chat_id = 1 AND (number BETWEEN 7 AND 16));
SELECT fingerprint, answer FROM idempotency_marks
WHERE scope = 'admin' AND key_hash = 'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb' AND `at` >= '2026-01-30 12:00:00.000';
-- After the migrations of later releases
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ('acme');
SELECT id, token, name, created_at, deleted_at, chats_count, chats_floor, chats_ceiling, chats_holder, chats_epoch, chats_nonce, lost_chats, lost_numbers, lost_epochs
FROM applications FORCE INDEX (PRIMARY) WHERE id IN (1) ORDER BY id FOR UPDATE;
SELECT application_id, number, id FROM chats WHERE (application_id = 1 AND number IN (4,5));
SELECT id, application_id, number, revision, created_at, deleted_at, messages_count, last_message_number, last_position, messages_floor, messages_ceiling, messages_holder, messages_epoch, messages_nonce
FROM chats FORCE INDEX (PRIMARY) WHERE id IN (4) ORDER BY id FOR UPDATE;
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (1, 5, 1, NULL, NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL, 'memory-1', 1, 10, 0);
INSERT INTO chats (id, application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key)
VALUES (4, 1, 4, 1, 'late', NULL, '2026-01-31 12:00:00.000', NULL, NULL, NULL)
ON DUPLICATE KEY UPDATE revision = VALUES(revision), title = VALUES(title),
  metadata = VALUES(metadata), created_at = VALUES(created_at), edited_at = VALUES(edited_at),
  deleted_at = VALUES(deleted_at), idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (4, 1, 4, '2026-01-31 12:00:00.000', 2, 2, 2, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (1, 'acme', 'Acme & Söhne ☕', '2026-01-31 12:00:00.000', 4, 0, 10)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 11, 18, 12884901888, '18.12884901888', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL),(1, 12, 19, 12884901889, '19.12884901889', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 7, 19, 12, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT chat_id, number, revision, deleted_at IS NOT NULL FROM messages WHERE (chat_id = 1 AND number IN (8));
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 13, 8, 8, '8.8', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 8, 19, 13, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 14, 1, 12884901890, 'edited later', NULL, NULL, 0, '2026-01-31 12:00:00.000', '2026-02-01 08:30:00.250', NULL, NULL)

ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata),
  metadata_by_server = VALUES(metadata_by_server), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 8, 19, 14, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 15, 18, 12884901891, '', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL),(1, 16, 4, 12884901892, '', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, '2026-02-01 08:30:00.250', NULL)

ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata),
  metadata_by_server = VALUES(metadata_by_server), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
INSERT INTO deleted_messages (chat_id, number) VALUES (1, 18),(1, 4)
ON DUPLICATE KEY UPDATE number = VALUES(number);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 6, 19, 16, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (1, 17, 5, 12884901893, 'back', NULL, NULL, 0, '2026-01-31 12:00:00.000', '2026-02-01 08:30:00.250', NULL, NULL)

ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata),
  metadata_by_server = VALUES(metadata_by_server), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key);
DELETE FROM deleted_messages WHERE chat_id = 1 AND number = 5;
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 7, 19, 17, 16, 36)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (1, 6, '2026-01-31 12:00:00.000', 'memory-1', 1, 10, 0);
UPDATE applications SET chats_count = chats_count + 1 WHERE id = 1;
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (7, 1, 1, 1, '1.1', NULL, NULL, 0, '2026-01-31 12:00:00.000', NULL, NULL, NULL);
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (7, 1, 6, '2026-01-31 12:00:00.000', 1, 1, 1, 0, 10)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling);
SELECT id, deleted_at FROM applications WHERE token = 'acme';
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), 16) AS previous FROM (
    SELECT number FROM messages WHERE chat_id = 1 AND number > 16 AND number <= 36
    UNION ALL SELECT 37
  ) AS used
) AS neighbours WHERE number > previous + 1 ORDER BY number;
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (1, 1, 20, 36, '2026-02-01 08:30:00.250');
UPDATE chats
SET messages_floor = 36, messages_ceiling = 46, messages_holder = 'memory-3', messages_epoch = 3,
  messages_nonce = 'nonce-3'
WHERE id = 1;
INSERT INTO chats (id, application_id, number, created_at, messages_ceiling)
VALUES (1, 1, 1, '2026-01-31 12:00:00.000', 36)
ON DUPLICATE KEY UPDATE messages_ceiling = VALUES(messages_ceiling),
  messages_holder = '', messages_nonce = '';
INSERT INTO applications (token, name, created_at) VALUES ('other', 'another', '2026-01-31 12:00:00.000');
SELECT token, name, chats_count, created_at, key_version, previous_key_until, deleted_at FROM applications WHERE token = 'other' AND deleted_at IS NULL;
SELECT id, deleted_at < '2026-02-01 08:30:00.250' FROM applications WHERE token = 'left';
SELECT id, number FROM chats FORCE INDEX (chats_deleted)
WHERE application_id = 2 AND purged_at IS NULL AND deleted_at < '2026-02-01 08:30:00.250'
ORDER BY deleted_at LIMIT 100;
INSERT INTO readers (application_id, user, chat, number)
SELECT a.id, X'616e6e', 1, LEAST(17, GREATEST(0, COALESCE(c.last_message_number, 0)))
FROM applications a LEFT JOIN chats c ON c.application_id = a.id AND c.number = 1
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
ON DUPLICATE KEY UPDATE number = GREATEST(readers.number, VALUES(number));
INSERT INTO readers (application_id, user, chat, number)
SELECT a.id, X'63656d', 4, LEAST(1, GREATEST(0, COALESCE(c.last_message_number, 0)))
FROM applications a LEFT JOIN chats c ON c.application_id = a.id AND c.number = 4
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
ON DUPLICATE KEY UPDATE number = GREATEST(readers.number, VALUES(number));
UPDATE applications SET key_version = key_version + 1, previous_key_until = '2026-02-01 08:30:00.250'
WHERE token = 'acme' AND key_version = 1 AND deleted_at IS NULL;
DELETE FROM idempotency_marks WHERE `at` < '2026-01-31 12:00:00.000' ORDER BY `at` LIMIT 10;
SELECT token, name, chats_count, created_at, key_version, previous_key_until, deleted_at FROM applications FORCE INDEX (applications_by_age) WHERE deleted_at IS NULL
ORDER BY created_at DESC, token DESC LIMIT 10;
SELECT id, token FROM applications WHERE deleted_at IS NULL AND id > 0 ORDER BY id LIMIT 10;
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
SELECT m.position, CHAR_LENGTH(m.body), 
m.number, m.revision, IF(CHAR_LENGTH(m.body) <= 2000, m.body, NULL), m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND m.number > 0 AND m.number < 9223372036854775807 AND m.deleted_at IS NULL
ORDER BY m.number DESC LIMIT 10;
SELECT 
m.number, m.revision, m.body, m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key
 
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m ON m.chat_id = c.id

WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL AND m.number = 3;
SELECT c.id, c.number FROM applications a JOIN chats c ON c.application_id = a.id
WHERE a.token = 'acme' AND c.number IN (1);
SELECT chat_id, number, revision FROM messages WHERE (chat_id = 1 AND number IN (1,2,3));
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`;
SELECT number FROM messages WHERE chat_id = 1 AND (number BETWEEN 7 AND 16 OR number BETWEEN 20 AND 36) ORDER BY number;
SELECT a.chats_ceiling, a.chats_holder, a.chats_epoch, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= 9 AND s.`last` >= 9 AND s.`at` < '2026-02-01 08:30:00.250'
) FROM applications a WHERE a.token = 'acme' AND a.deleted_at IS NULL;
SELECT m.position, CHAR_LENGTH(m.body), 
m.number, m.revision, IF(CHAR_LENGTH(m.body) <= 2000, m.body, NULL), m.sender, m.metadata, m.metadata_by_server, m.created_at, m.edited_at,
m.deleted_at, m.idempotency_key

FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = 1
JOIN messages m FORCE INDEX (messages_by_position) ON m.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.deleted_at IS NULL
  AND (m.position > 0 OR (m.position = 0 AND m.number > 0))
ORDER BY m.position, m.number LIMIT 10;
SELECT r.chat, r.number
FROM applications a
JOIN readers r ON r.application_id = a.id AND r.user = X'616e6e'
LEFT JOIN chats c ON c.application_id = a.id AND c.number = r.chat
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND r.chat > 0 AND r.chat < 9223372036854775807
  AND c.deleted_at IS NULL
ORDER BY r.chat DESC LIMIT 10;
SELECT c.number, c.id, c.last_message_number, c.deleted_at IS NOT NULL, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id
LEFT JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = 'acme' AND a.deleted_at IS NULL AND c.number IN (1)
ORDER BY c.number, s.`first`;
SELECT 0, (
SELECT COUNT(*) FROM deleted_messages WHERE chat_id = 1 AND number > 2 AND number <= 19
), (0), (SELECT COUNT(*) FROM messages WHERE chat_id = 1 AND (number BETWEEN 7 AND 16));
SELECT fingerprint, answer FROM idempotency_marks
WHERE scope = 'admin' AND key_hash = 'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb' AND `at` >= '2026-01-30 12:00:00.000';
