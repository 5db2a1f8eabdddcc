"""Persist messages: one transaction for the records of a whole invocation."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import batched
from typing import NamedTuple

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import to_db_metadata, to_db_time
from chalicelib.adapters.mysql.locking import (
    AT_ONCE,
    ChatKey,
    LockedApplication,
    LockedChat,
    advance_messages_floor,
    extended,
    find_applications,
    find_chats,
    highest_ceiling,
    in_ranges,
    initial_lease,
    latest_lease,
    lock_applications,
    lock_chats,
)
from chalicelib.adapters.mysql.persist_chats import write_counts
from chalicelib.domain.leases import Counter, PersistedMessages
from chalicelib.domain.models import Lease, Message
from chalicelib.domain.queue_records import MessagesRecord

# What the records of an invocation bring for each chat, before MySQL is asked.

ChatName = tuple[str, int]  # token, number


class Batch(msgspec.Struct):
    """The newest state of each number of a chat, and the leases they were numbered under."""

    newest: dict[int, Message] = {}
    leases: set[Lease] = set()


def gather(records: Iterable[MessagesRecord]) -> dict[ChatName, Batch]:
    """Sort the states by chat; of the same number, the newest revision stays."""
    batches: defaultdict[ChatName, Batch] = defaultdict(Batch)
    for record in (record for record in records if record.messages):
        batch = batches[record.token, record.chat]
        batch.leases.add(record.lease)
        for message in record.messages:
            held = batch.newest.get(message.number)
            if held is None or message.revision > held.revision:
                batch.newest[message.number] = message
    return batches


# The rows of messages: what is stored already, and writing what is new or newer.
#
# The caller holds the locks of the chats, and nobody writes messages without them.

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


class StoredVersion(NamedTuple):
    """What is stored of a message."""

    revision: int
    deleted: bool


ABSENT = StoredVersion(revision=-1, deleted=True)


def load_stored_versions(
    cursor: Cursor, wanted: Mapping[int, Sequence[int]]
) -> dict[int, dict[int, StoredVersion]]:
    """What is stored of these numbers, by chat id and number."""
    known: dict[int, dict[int, StoredVersion]] = {chat_id: {} for chat_id in wanted}
    keys = ((chat_id, number) for chat_id, numbers in wanted.items() for number in numbers)
    for some in batched(keys, AT_ONCE):
        ranges, args = in_ranges("chat_id", some)
        cursor.execute(KNOWN.format(ranges=ranges), args)
        for chat_id, number, revision, deleted in cursor.fetchall():
            known[chat_id][number] = StoredVersion(revision, bool(deleted))
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
        to_db_metadata(message.metadata),
        to_db_time(message.created_at),
        to_db_time(message.edited_at),
        to_db_time(message.deleted_at),
        message.idempotency_key,
    )


# The chats that messages are persisted into: locked, and made as stubs where they are not there.
#
# A message may come before its chat. Its record carries the lease of the chat's numbers, so that the
# stub can already answer for them; the chat's own record fills it in.

INSERT_STUBS = """
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
COUNT_STUB = "UPDATE applications SET chats_count = chats_count + 1 WHERE id = %s"


def lock_or_create_chats(
    cursor: Cursor, batches: Mapping[ChatName, Batch]
) -> dict[ChatName, LockedChat]:
    """Lock the chats of these batches. Those that were deleted, or whose application was, are left
    out."""
    applications = find_applications(cursor, {token for token, _ in batches})
    names = {
        (applications[token], number): (token, number)
        for token, number in batches
        if token in applications
    }
    ids = find_chats(cursor, names)
    missing = {key: batches[name] for key, name in names.items() if key not in ids}
    if missing:
        ids |= _make_stubs(cursor, missing)
    rows = lock_chats(cursor, ids.values()).values()
    return {names[row.application_id, row.number]: row for row in rows if row.deleted_at is None}


def _make_stubs(cursor: Cursor, missing: Mapping[ChatKey, Batch]) -> dict[ChatKey, int]:
    """Make what is still missing under the applications' locks. Returns the ids of all of them."""
    rows = lock_applications(cursor, {application_id for application_id, _ in missing})
    alive = {row.id for row in rows.values() if row.deleted_at is None}
    there = find_chats(cursor, missing)
    stubs = [key for key in sorted(missing) if key not in there and key[0] in alive]
    cursor.executemany(INSERT_STUBS, [_stub(rows[key[0]], key[1], missing[key]) for key in stubs])
    cursor.executemany(COUNT_STUB, [(application_id,) for application_id, _ in stubs])
    return there | find_chats(cursor, stubs)


def _stub(application: LockedApplication, number: int, batch: Batch) -> tuple[object, ...]:
    first = batch.newest[min(batch.newest)]
    lease = latest_lease(batch.leases)
    assert lease is not None  # every batch has a record
    grant, position = initial_lease(application, number, lease)
    row = (application.id, number, to_db_time(first.created_at))
    return (*row, grant.holder, grant.epoch, grant.ceiling, position)


# Persist messages: one transaction for the records of a whole invocation.
#
# Promises 2 and 7: each state is stored once however often and in whatever order it comes, and the
# counts change in the transaction that changes the rows. What could break them are two workers on one
# chat (held apart by the chat's row lock) and a record that comes late (the newer revision wins).
# Tests: "redelivery", "order" and "threads" in `tests/contract/test_store.py`.


class WritePlan(msgspec.Struct):
    """What is to be written, and what is to be told, gathered chat by chat."""

    new: list[MessageOfChat] = []
    newer: list[MessageOfChat] = []
    deleted: list[MessageKey] = []
    undeleted: list[MessageKey] = []
    documents: list[tuple[str, int, Message]] = []
    extended: list[tuple[Counter, Lease]] = []
    acknowledged: dict[Counter, dict[int, int]] = {}


def persist_messages(
    cursor: Cursor, batches: Mapping[ChatName, Batch], window: int
) -> PersistedMessages:
    """Store the batches in the caller's transaction."""
    rows = lock_or_create_chats(cursor, batches)
    known = load_stored_versions(
        cursor, {row.id: _possibly_stored(row, batches[name]) for name, row in rows.items()}
    )
    outcome, raised_rows = WritePlan(), []
    for name, batch in batches.items():
        row = rows.get(name)
        if row is not None:
            _apply(outcome, name, row, batch, known[row.id])
            if _follow(outcome, name, row, batch.leases, window):
                raised_rows.append(row)
        else:
            revisions = {number: state.revision for number, state in batch.newest.items()}
            outcome.acknowledged[Counter(*name)] = revisions
    insert_messages(cursor, outcome.new)
    replace_messages(cursor, outcome.newer)
    mark_deleted(cursor, outcome.deleted)
    unmark_deleted(cursor, outcome.undeleted)
    for row in raised_rows:
        advance_messages_floor(cursor, row, window)
    write_counts(cursor, rows.values())
    return PersistedMessages(
        tuple(outcome.documents), tuple(outcome.extended), outcome.acknowledged
    )


def _possibly_stored(row: LockedChat, batch: Batch) -> list[int]:
    """Numbers that may have a row; those above the chat's last one are certain to be new."""
    return [number for number in batch.newest if number <= row.last_message_number]


def _apply(
    outcome: WritePlan,
    name: ChatName,
    row: LockedChat,
    batch: Batch,
    known: Mapping[int, StoredVersion],
) -> None:
    """Take each state that is newer than what is stored, count it, and give it the next position."""
    acknowledged = outcome.acknowledged.setdefault(Counter(*name), {})
    for message in sorted(batch.newest.values(), key=lambda state: state.revision):
        number = message.number
        stored = known.get(number, ABSENT)
        acknowledged[number] = max(message.revision, stored.revision)
        if message.revision >= stored.revision:
            outcome.documents.append((*name, message))
        if message.revision > stored.revision:
            changes = outcome.new if stored is ABSENT else outcome.newer
            row.last_position += 1
            changes.append((row.id, row.last_position, message))
            if message.deleted_at is not None:
                outcome.deleted.append((row.id, number))
            elif stored.deleted and stored is not ABSENT:
                outcome.undeleted.append((row.id, number))
            row.messages_count += (message.deleted_at is None) - (not stored.deleted)
    row.last_message_number = max(row.last_message_number, *batch.newest)


def _follow(
    outcome: WritePlan, name: ChatName, row: LockedChat, leases: Collection[Lease], window: int
) -> bool:
    """Let the chat's ceiling follow its records; True where its lease was raised."""
    row.messages_ceiling = highest_ceiling(row.messages_lease, leases)
    lease = extended(row.messages_lease, leases, row.last_message_number, window)
    if lease is not None:
        row.messages_ceiling = lease.ceiling
        outcome.extended.append((Counter(*name), lease))
    return lease is not None
