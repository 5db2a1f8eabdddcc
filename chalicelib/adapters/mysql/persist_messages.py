"""Persist messages: one transaction for all records of an invocation.

Promises 2 and 7: each version is stored once, however often and in whatever order its records arrive, and
counts change in the transaction that changes the rows they count. Two things could break this. Two workers
on one chat: the lock of the chat's row separates them. A late record: the highest revision wins. Tests:
"redelivery", "every order" and "simultaneous" in `tests/contract/test_store.py`.

A message may arrive before its chat. Its record carries the lease of the message numbers, so that the chat
gets a stub: a row with that lease and no content. The chat's own record fills the stub in.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import batched
from typing import NamedTuple

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, to_db_metadata, to_db_time
from chalicelib.adapters.mysql.locking import (
    MAX_KEYS_PER_STATEMENT,
    LockedChat,
    Stub,
    advance_messages_floor,
    create_stubs,
    extended_lease,
    find_applications,
    find_chats,
    highest_ceiling,
    in_ranges,
    latest_lease,
    lock_chats,
    write_counts,
)
from chalicelib.adapters.mysql.persist_chats import group_by_application, persist_chats
from chalicelib.domain.leases import Counter, PersistedChats, PersistedMessages
from chalicelib.domain.models import AppToken, ChatNumber, Lease, Message, Revision
from chalicelib.domain.queue_records import ChatsRecord, Document, MessagesRecord

ChatName = tuple[AppToken, ChatNumber]  # token, number


class MessageBatch(msgspec.Struct):
    """The newest version of each message of a chat, by number, and the leases of the numbers."""

    newest: dict[int, Message] = {}
    leases: set[Lease] = set()


def group_by_chat(records: Iterable[MessagesRecord]) -> dict[ChatName, MessageBatch]:
    """The newest version of each message in the records, by chat and number."""
    batches: defaultdict[ChatName, MessageBatch] = defaultdict(MessageBatch)
    for record in (record for record in records if record.messages):
        batch = batches[record.token, record.chat]
        batch.leases.add(record.lease)
        for message in record.messages:
            other = batch.newest.get(message.number)
            if other is None or message.revision > other.revision:
                batch.newest[message.number] = message
    return batches


STORED_VERSIONS = """
SELECT chat_id, number, revision, deleted_at IS NOT NULL FROM messages WHERE {ranges}
"""
INSERT = """
INSERT INTO messages (chat_id, position, number, revision, body, sender, metadata,
  metadata_by_server, created_at, edited_at, deleted_at, idempotency_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
REPLACE = f"""{INSERT}
ON DUPLICATE KEY UPDATE position = VALUES(position), revision = VALUES(revision), body = VALUES(body),
  sender = VALUES(sender), metadata = VALUES(metadata),
  metadata_by_server = VALUES(metadata_by_server), created_at = VALUES(created_at),
  edited_at = VALUES(edited_at), deleted_at = VALUES(deleted_at),
  idempotency_key = VALUES(idempotency_key)
"""
INSERT_DELETED = """
INSERT INTO deleted_messages (chat_id, number) VALUES (%s, %s)
ON DUPLICATE KEY UPDATE number = VALUES(number)
"""
DELETE_UNDELETED = "DELETE FROM deleted_messages WHERE chat_id = %s AND number = %s"

MessageOfChat = tuple[int, int, Message]  # chat id, position, version
MessageKey = tuple[int, int]  # chat id, number


class StoredVersion(NamedTuple):
    """Which version of a message is stored."""

    revision: Revision
    deleted: bool


ABSENT = StoredVersion(revision=Revision(-1), deleted=True)


def load_stored_versions(
    cursor: Cursor, wanted: Mapping[int, Sequence[int]]
) -> dict[int, dict[int, StoredVersion]]:
    """The stored versions of these numbers, by chat id and number. The caller holds the chats' locks."""
    stored: dict[int, dict[int, StoredVersion]] = {chat_id: {} for chat_id in wanted}
    keys = ((chat_id, number) for chat_id, numbers in wanted.items() for number in numbers)
    for batch in batched(keys, MAX_KEYS_PER_STATEMENT):
        ranges, args = in_ranges("chat_id", batch)
        cursor.execute(STORED_VERSIONS.format(ranges=ranges), args)
        for chat_id, number, revision, deleted in cursor.fetchall():
            stored[chat_id][number] = StoredVersion(revision, bool(deleted))
    return stored


def insert_messages(cursor: Cursor, messages: Iterable[MessageOfChat]) -> None:
    """Insert new rows. A duplicate would break promise 1, so it fails."""
    cursor.executemany(INSERT, [_row(*message) for message in messages])


def replace_messages(cursor: Cursor, messages: Iterable[MessageOfChat]) -> None:
    """Overwrite existing rows."""
    cursor.executemany(REPLACE, [_row(*message) for message in messages])


def record_deleted(cursor: Cursor, keys: Iterable[MessageKey]) -> None:
    """Record the numbers of deleted messages: unread messages are counted from them."""
    cursor.executemany(INSERT_DELETED, list(keys))


def record_undeleted(cursor: Cursor, keys: Iterable[MessageKey]) -> None:
    """Remove numbers whose newest version is not a deletion: it was made from a version before that."""
    cursor.executemany(DELETE_UNDELETED, list(keys))


def _row(chat_id: int, position: int, message: Message) -> tuple[object, ...]:
    return (
        chat_id,
        position,
        message.number,
        message.revision,
        message.body,
        message.sender,
        to_db_metadata(message.metadata),
        message.metadata_by_server,
        to_db_time(message.created_at),
        to_db_time(message.edited_at),
        to_db_time(message.deleted_at),
        message.idempotency_key,
    )


def lock_or_create_chats(
    cursor: Cursor, batches: Mapping[ChatName, MessageBatch]
) -> dict[ChatName, LockedChat]:
    """Lock the chats of these batches, and insert stubs for those without a row.

    Deleted chats and chats of deleted applications are left out.
    """
    applications = find_applications(cursor, {token for token, _ in batches})
    names = {
        (applications[token], number): (token, number)
        for token, number in batches
        if token in applications
    }
    ids = find_chats(cursor, names)
    missing = {key: batches[name] for key, name in names.items() if key not in ids}
    if missing:
        ids |= create_stubs(cursor, {key: _stub(batch) for key, batch in missing.items()})
    rows = lock_chats(cursor, ids.values()).values()
    return {names[row.application_id, row.number]: row for row in rows if row.deleted_at is None}


def _stub(batch: MessageBatch) -> Stub:
    lease = latest_lease(batch.leases)
    assert lease is not None  # a batch has at least one record
    return Stub(lease, batch.newest[min(batch.newest)].created_at)


class WritePlan(msgspec.Struct):
    """What to write to rows, and what to report to the index and to Redis, for all chats."""

    new: list[MessageOfChat] = []
    newer: list[MessageOfChat] = []
    deleted: list[MessageKey] = []
    undeleted: list[MessageKey] = []
    documents: list[Document] = []
    extended: list[tuple[Counter, Lease]] = []
    acknowledged: dict[Counter, dict[int, int]] = {}


def persist_messages(
    cursor: Cursor, batches: Mapping[ChatName, MessageBatch], window: int
) -> PersistedMessages:
    """Store the batches in the caller's transaction. `window` is the lease window."""
    rows = lock_or_create_chats(cursor, batches)
    stored = load_stored_versions(
        cursor, {row.id: _possibly_stored(row, batches[name]) for name, row in rows.items()}
    )
    plan, extended_rows = WritePlan(), []
    for name, batch in batches.items():
        row = rows.get(name)
        if row is not None:
            _apply(plan, name, row, batch, stored[row.id])
            if _advance_ceiling(plan, name, row, batch.leases, window):
                extended_rows.append(row)
        else:
            revisions: dict[int, int] = {
                number: version.revision for number, version in batch.newest.items()
            }
            plan.acknowledged[Counter(*name)] = revisions
    insert_messages(cursor, plan.new)
    replace_messages(cursor, plan.newer)
    record_deleted(cursor, plan.deleted)
    record_undeleted(cursor, plan.undeleted)
    for row in extended_rows:
        advance_messages_floor(cursor, row, window)
    write_counts(cursor, rows.values())
    return PersistedMessages(tuple(plan.documents), tuple(plan.extended), plan.acknowledged)


def _possibly_stored(row: LockedChat, batch: MessageBatch) -> list[int]:
    """The numbers that may have a row. Numbers above the chat's last one are new."""
    return [number for number in batch.newest if number <= row.last_message_number]


def _apply(
    plan: WritePlan,
    name: ChatName,
    row: LockedChat,
    batch: MessageBatch,
    stored_versions: Mapping[int, StoredVersion],
) -> None:
    """Plan to store each version that is newer than the stored one, with the next position, and count it."""
    acknowledged = plan.acknowledged.setdefault(Counter(*name), {})
    for message in sorted(batch.newest.values(), key=lambda version: version.revision):
        number = message.number
        stored = stored_versions.get(number, ABSENT)
        acknowledged[number] = max(message.revision, stored.revision)
        if message.revision >= stored.revision:
            token, chat = name
            plan.documents.append(Document(token=token, chat=chat, message=message))
        if message.revision > stored.revision:
            changes = plan.new if stored is ABSENT else plan.newer
            row.last_position += 1
            changes.append((row.id, row.last_position, message))
            if message.deleted_at is not None:
                plan.deleted.append((row.id, number))
            elif stored.deleted and stored is not ABSENT:
                plan.undeleted.append((row.id, number))
            row.messages_count += (message.deleted_at is None) - (not stored.deleted)
    row.last_message_number = max(row.last_message_number, *batch.newest)


def _advance_ceiling(
    plan: WritePlan, name: ChatName, row: LockedChat, leases: Collection[Lease], window: int
) -> bool:
    """Raise the chat's ceiling as its records require. True if its lease is extended."""
    row.messages_ceiling = highest_ceiling(row.messages_lease, leases)
    lease = extended_lease(row.messages_lease, leases, row.last_message_number, window)
    if lease is not None:
        row.messages_ceiling = lease.ceiling
        plan.extended.append((Counter(*name), lease))
    return lease is not None


class MySqlPersistence:
    """Stores the records of one invocation, each kind in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def persist_chats(self, records: Sequence[ChatsRecord], window: int) -> PersistedChats:
        batches = group_by_application(records)
        return self._database.transact(lambda cursor: persist_chats(cursor, batches, window))

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        batches = group_by_chat(records)
        return self._database.transact(lambda cursor: persist_messages(cursor, batches, window))
