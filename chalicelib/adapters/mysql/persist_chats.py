"""Persist chats: one transaction for all records of an invocation.

A deletion is final. It wins over every other version, whatever their revisions, so that no late record
brings a chat back and every order of delivery has the same result. Otherwise the highest revision wins.
Tests: "every order" in `tests/contract/test_store.py`.

Applications are locked first, because their counts and their leases change with the rows of their chats.
"""

from collections.abc import Iterable, Mapping

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import to_db_metadata, to_db_time
from chalicelib.adapters.mysql.locking import (
    ChatKey,
    LockedApplication,
    LockedChat,
    advance_chats_floor,
    extended_lease,
    find_applications,
    find_chats,
    highest_ceiling,
    initial_lease,
    latest_lease,
    lock_applications,
    lock_chats,
    write_counts,
)
from chalicelib.domain.leases import Counter, PersistedChats
from chalicelib.domain.models import AppToken, Chat, ChatNumber, Epoch, Lease
from chalicelib.domain.queue_records import ChatsRecord


class ChatVersions(msgspec.Struct):
    """All versions of one chat in the batch."""

    versions: list[Chat] = []

    @property
    def deleted(self) -> bool:
        return any(version.deleted_at is not None for version in self.versions)

    @property
    def revision(self) -> int:
        """The highest revision of the versions."""
        return max(version.revision for version in self.versions)

    def leases(self) -> list[Lease]:
        """The first leases of the chat's messages: a version carries one until the chat has a row."""
        return [version.messages_lease for version in self.versions if version.messages_lease]

    def to_insert(self) -> Chat:
        """The version for a new row."""
        return msgspec.structs.replace(
            self.to_update(0), messages_lease=latest_lease(self.leases())
        )

    def to_update(self, stored_revision: int) -> Chat:
        """The version that wins: a deletion if there is one, otherwise the newest."""
        winner = max(
            self.versions, key=lambda version: (version.deleted_at is not None, version.revision)
        )
        revision = max(stored_revision, self.revision)
        return msgspec.structs.replace(winner, revision=revision)


class ChatBatch(msgspec.Struct):
    """The versions of the chats of one application, by number, and the leases of their numbers."""

    chats: dict[ChatNumber, ChatVersions] = {}
    leases: set[Lease] = set()


def group_by_application(records: Iterable[ChatsRecord]) -> dict[AppToken, ChatBatch]:
    """The versions of all records, by application token and chat number."""
    batches: dict[AppToken, ChatBatch] = {}
    for record in records:
        for chat in record.chats:
            batch = batches.setdefault(record.token, ChatBatch())
            batch.leases.add(record.lease)
            batch.chats.setdefault(chat.number, ChatVersions()).versions.append(chat)
    return batches


# `INSERT … ON DUPLICATE KEY UPDATE` with existing ids is an UPDATE of many rows in one statement. The other
# columns that its INSERT half must name are written back unchanged.

INSERT_CHATS = """
INSERT INTO chats (application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key, messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
WRITE_VERSIONS = """
INSERT INTO chats (id, application_id, number, revision, title, metadata, created_at, edited_at,
  deleted_at, idempotency_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE revision = VALUES(revision), title = VALUES(title),
  metadata = VALUES(metadata), created_at = VALUES(created_at), edited_at = VALUES(edited_at),
  deleted_at = VALUES(deleted_at), idempotency_key = VALUES(idempotency_key)
"""
WRITE_APPLICATIONS = """
INSERT INTO applications (id, token, name, created_at, chats_count, chats_floor, chats_ceiling)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE chats_count = VALUES(chats_count),
  chats_floor = VALUES(chats_floor), chats_ceiling = VALUES(chats_ceiling)
"""
NO_LEASE = Lease("", Epoch(0), 0)


def insert_chats(cursor: Cursor, chats: Iterable[tuple[LockedApplication, Chat]]) -> None:
    """Insert the rows of new chats. The caller holds the locks of their applications."""
    cursor.executemany(
        INSERT_CHATS,
        [(row.id, *_columns(chat), *_first_lease(row, chat)) for row, chat in chats],
    )


def write_versions(cursor: Cursor, chats: Iterable[tuple[LockedChat, Chat]]) -> None:
    """Write newer versions to rows. The caller holds their locks."""
    cursor.executemany(
        WRITE_VERSIONS, [(row.id, row.application_id, *_columns(chat)) for row, chat in chats]
    )


def write_applications(cursor: Cursor, rows: Iterable[LockedApplication]) -> None:
    """Write the chat counts, floors and ceilings of locked rows."""
    cursor.executemany(WRITE_APPLICATIONS, [_chat_counts(row) for row in rows])


def _columns(chat: Chat) -> tuple[object, ...]:
    """The columns from number to idempotency_key. A deleted chat has no title and no metadata."""
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


def _chat_counts(row: LockedApplication) -> tuple[object, ...]:
    unchanged = (row.id, row.token, row.name, row.created_at)
    return (*unchanged, row.chats_count, row.chats_floor, row.chats_ceiling)


def _first_lease(application: LockedApplication, chat: Chat) -> tuple[object, ...]:
    lease, position = initial_lease(application, chat.number, chat.messages_lease or NO_LEASE)
    return (lease.holder, lease.epoch, lease.ceiling, position)


class WritePlan(msgspec.Struct):
    """What to write to rows and what to report to Redis, for all applications of the transaction."""

    new: list[tuple[LockedApplication, Chat]] = []
    newer: list[tuple[LockedChat, Chat]] = []
    extended: list[tuple[Counter, Lease]] = []
    acknowledged: dict[Counter, dict[int, int]] = {}


def persist_chats(
    cursor: Cursor, batches: Mapping[AppToken, ChatBatch], window: int
) -> PersistedChats:
    """Store the batches, by token, in the caller's transaction. `window` is the lease window."""
    applications = _lock_applications(cursor, batches)
    rows = _lock_chats(cursor, batches, applications)
    plan, extended = WritePlan(), []
    for token, batch in batches.items():
        acknowledged = plan.acknowledged[Counter(token)] = {}
        application = applications.get(token)
        for number, versions in batch.chats.items():
            acknowledged[number] = versions.revision
            if application is not None:
                row = rows.get((application.id, number))
                acknowledged[number] = _apply(plan, application, row, versions)
        if application is not None and _advance_ceiling(plan, application, batch, window):
            extended.append((application, max(batch.chats)))
    insert_chats(cursor, plan.new)
    write_versions(cursor, plan.newer)
    for application, last in extended:
        advance_chats_floor(cursor, application, last, window)
    write_counts(cursor, rows.values())
    write_applications(cursor, applications.values())
    return PersistedChats(tuple(plan.extended), plan.acknowledged)


def _lock_applications(
    cursor: Cursor, batches: Mapping[AppToken, ChatBatch]
) -> dict[AppToken, LockedApplication]:
    """The applications of the batches by token. Deleted applications are left out."""
    rows = lock_applications(cursor, find_applications(cursor, batches).values()).values()
    return {row.token: row for row in rows if row.deleted_at is None}


def _lock_chats(
    cursor: Cursor,
    batches: Mapping[AppToken, ChatBatch],
    applications: Mapping[AppToken, LockedApplication],
) -> dict[ChatKey, LockedChat]:
    keys = [
        (application.id, number)
        for token, application in applications.items()
        for number in batches[token].chats
    ]
    rows = lock_chats(cursor, find_chats(cursor, keys).values()).values()
    return {(row.application_id, row.number): row for row in rows}


def _apply(
    plan: WritePlan, application: LockedApplication, row: LockedChat | None, versions: ChatVersions
) -> int:
    """Plan to store the winning version, unless the row wins. Returns the chat's revision afterwards."""
    if row is None:
        plan.new.append((application, versions.to_insert()))
        application.chats_count += not versions.deleted
        return versions.revision
    row.messages_ceiling = highest_ceiling(row.messages_lease, versions.leases())
    if row.deleted_at is None and (versions.deleted or versions.revision > row.revision):
        plan.newer.append((row, versions.to_update(row.revision)))
        if versions.deleted:
            application.chats_count -= 1
            row.messages_count = 0
    return max(row.revision, versions.revision)


def _advance_ceiling(
    plan: WritePlan, application: LockedApplication, batch: ChatBatch, window: int
) -> bool:
    """Raise the application's ceiling as its records require. True if its lease is extended."""
    application.chats_ceiling = highest_ceiling(application.chats_lease, batch.leases)
    lease = extended_lease(application.chats_lease, batch.leases, max(batch.chats), window)
    if lease is not None:
        application.chats_ceiling = lease.ceiling
        plan.extended.append((Counter(application.token), lease))
    return lease is not None
