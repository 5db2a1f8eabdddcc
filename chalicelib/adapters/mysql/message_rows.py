"""The rows of messages: what is stored already, and writing what is new or newer.

The caller holds the locks of the chats, and nobody writes messages without them.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import batched
from typing import NamedTuple

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.rows import AT_ONCE, in_ranges
from chalicelib.adapters.mysql.values import metadata_in, time_in
from chalicelib.domain.records import Message

KNOWN = """
SELECT chat_id, number, revision, deleted_at IS NOT NULL FROM messages WHERE {ranges}
"""
INSERT = """
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  created_at, edited_at, deleted_at, idempotency_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
REPLACE = f"""{INSERT}
ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key)
"""
MARK_DELETED = """
INSERT INTO deleted_messages (chat_id, number) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE number = VALUES(number)
"""
UNMARK_DELETED = "DELETE FROM deleted_messages WHERE chat_id = %s AND number = %s"

MessageOfChat = tuple[int, int, Message]  # chat id, position, state
MessageKey = tuple[int, int]  # chat id, number


class Known(NamedTuple):
    """What is stored of a message."""

    revision: int
    deleted: bool


NOT_STORED = Known(revision=-1, deleted=True)


def known_states(
    cursor: Cursor, wanted: Mapping[int, Sequence[int]]
) -> dict[int, dict[int, Known]]:
    """What is stored of these numbers, by chat id and number."""
    known: dict[int, dict[int, Known]] = {chat_id: {} for chat_id in wanted}
    keys = ((chat_id, number) for chat_id, numbers in wanted.items() for number in numbers)
    for some in batched(keys, AT_ONCE):
        ranges, args = in_ranges("chat_id", some)
        cursor.execute(KNOWN.format(ranges=ranges), args)
        for chat_id, number, revision, deleted in cursor.fetchall():
            known[chat_id][number] = Known(revision, bool(deleted))
    return known


def insert_messages(cursor: Cursor, messages: Iterable[MessageOfChat]) -> None:
    """Insert rows that are not there: a duplicate would be a broken promise, and fails."""
    cursor.executemany(INSERT, [_row(*message) for message in messages])


def replace_messages(cursor: Cursor, messages: Iterable[MessageOfChat]) -> None:
    """Overwrite rows that are there."""
    cursor.executemany(REPLACE, [_row(*message) for message in messages])


def mark_deleted(cursor: Cursor, keys: Iterable[MessageKey]) -> None:
    """Note which numbers are those of deleted messages: unread ones are counted by them."""
    cursor.executemany(MARK_DELETED, list(keys))


def unmark_deleted(cursor: Cursor, keys: Iterable[MessageKey]) -> None:
    """These have a newer state, which was made from one before the deletion."""
    cursor.executemany(UNMARK_DELETED, list(keys))


def _row(chat_id: int, position: int, message: Message) -> tuple[object, ...]:
    return (
        chat_id,
        position,
        message.number,
        message.revision,
        message.body,
        message.sender,
        metadata_in(message.metadata),
        time_in(message.created_at),
        time_in(message.edited_at),
        time_in(message.deleted_at),
        message.idempotency_key,
    )
