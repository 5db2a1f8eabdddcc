"""Writing rows of chats and of their applications. The caller holds their locks.

`INSERT … ON DUPLICATE KEY UPDATE` with an id that is there is an UPDATE of many rows in one
statement; what its INSERT half must name besides is written back as it was.
"""

from collections.abc import Collection, Iterable

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.ceilings import beginning
from chalicelib.adapters.mysql.rows import LockedApplication, LockedChat
from chalicelib.adapters.mysql.values import metadata_in, time_in
from chalicelib.domain.records import Chat, Lease

INSERT_CHATS = """
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
WRITE_STATES = """
INSERT INTO chats (id, application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE revision = VALUES(revision), title = VALUES(title),
  metadata = VALUES(metadata), created_at = VALUES(created_at), edited_at = VALUES(edited_at),
  deleted_at = VALUES(deleted_at), idempotency_key = VALUES(idempotency_key)
"""
WRITE_COUNTS = """
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling)
"""
WRITE_APPLICATIONS = """
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling)
"""
NO_LEASE = Lease("", 0, 0)


def insert_chats(cursor: Cursor, chats: Iterable[tuple[LockedApplication, Chat]]) -> None:
    """Insert chats that have no row yet."""
    cursor.executemany(
        INSERT_CHATS,
        [(row.id, *_state(chat), *_beginning(row, chat)) for row, chat in chats],
    )


def write_states(cursor: Cursor, chats: Iterable[tuple[LockedChat, Chat]]) -> None:
    """Give rows a newer state."""
    cursor.executemany(
        WRITE_STATES, [(row.id, row.application_id, *_state(chat)) for row, chat in chats]
    )


def write_counts(cursor: Cursor, rows: Collection[LockedChat]) -> None:
    """Write what the rows say of their messages: count, last number and position, floor, ceiling."""
    cursor.executemany(WRITE_COUNTS, [_counts(row) for row in rows])


def write_applications(cursor: Cursor, rows: Iterable[LockedApplication]) -> None:
    """Write what the rows say of their chats: count, floor and ceiling."""
    cursor.executemany(WRITE_APPLICATIONS, [_chat_counts(row) for row in rows])


def _state(chat: Chat) -> tuple[object, ...]:
    """Number, revision and what users wrote, of which a deleted chat keeps nothing."""
    deleted = chat.deleted_at is not None
    return (
        chat.number,
        chat.revision,
        None if deleted else chat.title,
        None if deleted else metadata_in(chat.metadata),
        time_in(chat.created_at),
        time_in(chat.edited_at),
        time_in(chat.deleted_at),
        chat.idempotency_key,
    )


def _counts(row: LockedChat) -> tuple[object, ...]:
    unchanged = (row.id, row.application_id, row.number, row.created_at)
    counts = (row.messages_count, row.last_message_number, row.last_position)
    return (*unchanged, *counts, row.messages_floor, row.messages_ceiling)


def _chat_counts(row: LockedApplication) -> tuple[object, ...]:
    unchanged = (row.id, row.token, row.name, row.created_at)
    return (*unchanged, row.chats_count, row.chats_floor, row.chats_ceiling)


def _beginning(application: LockedApplication, chat: Chat) -> tuple[object, ...]:
    lease, position = beginning(application, chat.number, chat.messages_lease or NO_LEASE)
    return (lease.holder, lease.epoch, lease.ceiling, position)
