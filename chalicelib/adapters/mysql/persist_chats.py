"""Persist chats: one transaction for the records of a whole invocation."""

from collections.abc import Collection, Iterable, Mapping

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import to_db_metadata, to_db_time
from chalicelib.adapters.mysql.locking import (
    ChatKey,
    LockedApplication,
    LockedChat,
    advance_chats_floor,
    extended,
    find_applications,
    find_chats,
    highest_ceiling,
    initial_lease,
    latest_lease,
    lock_applications,
    lock_chats,
)
from chalicelib.domain.leases import Counter, PersistedChats
from chalicelib.domain.models import Chat, Lease
from chalicelib.domain.queue_records import ChatsRecord

# What the records of an invocation bring for each application, before MySQL is asked.


class ChatVersions(msgspec.Struct):
    """All states of one chat in the batch."""

    states: list[Chat] = []

    @property
    def deleted(self) -> bool:
        return any(state.deleted_at is not None for state in self.states)

    @property
    def revision(self) -> int:
        return max(state.revision for state in self.states)

    def leases(self) -> list[Lease]:
        """Each state carries the first lease of the chat's messages until its row is there."""
        return [state.messages_lease for state in self.states if state.messages_lease]

    def to_insert(self) -> Chat:
        """The state for a row that this batch makes."""
        return msgspec.structs.replace(
            self.to_update(0), messages_lease=latest_lease(self.leases())
        )

    def to_update(self, stored_revision: int) -> Chat:
        """The state that wins: a deletion if there is one, or else the newest."""
        winner = max(self.states, key=lambda state: (state.deleted_at is not None, state.revision))
        revision = max(stored_revision, self.revision)
        return msgspec.structs.replace(winner, revision=revision)


class Batch(msgspec.Struct):
    """The states of each chat of an application, and the leases they were numbered under."""

    chats: dict[int, ChatVersions] = {}
    leases: set[Lease] = set()


def gather(records: Iterable[ChatsRecord]) -> dict[str, Batch]:
    """Sort the states by application and number."""
    batches: dict[str, Batch] = {}
    for record in records:
        for chat in record.chats:
            batch = batches.setdefault(record.token, Batch())
            batch.leases.add(record.lease)
            batch.chats.setdefault(chat.number, ChatVersions()).states.append(chat)
    return batches


# Writing rows of chats and of their applications. The caller holds their locks.
#
# `INSERT … ON DUPLICATE KEY UPDATE` with an id that is there is an UPDATE of many rows in one
# statement; what its INSERT half must name besides is written back as it was.

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
        None if deleted else to_db_metadata(chat.metadata),
        to_db_time(chat.created_at),
        to_db_time(chat.edited_at),
        to_db_time(chat.deleted_at),
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
    lease, position = initial_lease(application, chat.number, chat.messages_lease or NO_LEASE)
    return (lease.holder, lease.epoch, lease.ceiling, position)


# Persist chats: one transaction for the records of a whole invocation.
#
# A deletion is final: it wins over every state, whatever their revisions, so that no late record
# brings a chat back and all orders of delivery end alike. Otherwise the newer revision wins.
# Applications are locked first: their counts and their leases change with the rows of their chats.


class WritePlan(msgspec.Struct):
    """What is to be written, and what is to be told, gathered application by application."""

    new: list[tuple[LockedApplication, Chat]] = []
    newer: list[tuple[LockedChat, Chat]] = []
    extended: list[tuple[Counter, Lease]] = []
    acknowledged: dict[Counter, dict[int, int]] = {}


def persist_chats(cursor: Cursor, batches: Mapping[str, Batch], window: int) -> PersistedChats:
    """Store the batches in the caller's transaction."""
    applications = _lock_applications(cursor, batches)
    rows = _lock_chats(cursor, batches, applications)
    outcome, raised_rows = WritePlan(), []
    for token, batch in batches.items():
        acknowledged = outcome.acknowledged[Counter(token)] = {}
        application = applications.get(token)
        for number, states in batch.chats.items():
            acknowledged[number] = states.revision
            if application is not None:
                row = rows.get((application.id, number))
                acknowledged[number] = _apply(outcome, application, row, states)
        if application is not None and _follow(outcome, application, batch, window):
            raised_rows.append((application, max(batch.chats)))
    insert_chats(cursor, outcome.new)
    write_states(cursor, outcome.newer)
    for application, last in raised_rows:
        advance_chats_floor(cursor, application, last, window)
    write_counts(cursor, rows.values())
    write_applications(cursor, applications.values())
    return PersistedChats(tuple(outcome.extended), outcome.acknowledged)


def _lock_applications(
    cursor: Cursor, batches: Mapping[str, Batch]
) -> dict[str, LockedApplication]:
    """The applications of the batches that are there and not deleted, by token."""
    rows = lock_applications(cursor, find_applications(cursor, batches).values()).values()
    return {row.token: row for row in rows if row.deleted_at is None}


def _lock_chats(
    cursor: Cursor, batches: Mapping[str, Batch], applications: Mapping[str, LockedApplication]
) -> dict[ChatKey, LockedChat]:
    keys = [
        (application.id, number)
        for token, application in applications.items()
        for number in batches[token].chats
    ]
    rows = lock_chats(cursor, find_chats(cursor, keys).values()).values()
    return {(row.application_id, row.number): row for row in rows}


def _apply(
    outcome: WritePlan, application: LockedApplication, row: LockedChat | None, states: ChatVersions
) -> int:
    """Take the winning state, unless the row says otherwise. Returns the revision it ends with."""
    if row is None:
        outcome.new.append((application, states.to_insert()))
        application.chats_count += not states.deleted
        return states.revision
    row.messages_ceiling = highest_ceiling(row.messages_lease, states.leases())
    if row.deleted_at is None and (states.deleted or states.revision > row.revision):
        outcome.newer.append((row, states.to_update(row.revision)))
        if states.deleted:
            application.chats_count -= 1
            row.messages_count = 0
    return max(row.revision, states.revision)


def _follow(outcome: WritePlan, application: LockedApplication, batch: Batch, window: int) -> bool:
    """Let the application's ceiling follow its records; True where its lease was raised."""
    application.chats_ceiling = highest_ceiling(application.chats_lease, batch.leases)
    lease = extended(application.chats_lease, batch.leases, max(batch.chats), window)
    if lease is not None:
        application.chats_ceiling = lease.ceiling
        outcome.extended.append((Counter(application.token), lease))
    return lease is not None
