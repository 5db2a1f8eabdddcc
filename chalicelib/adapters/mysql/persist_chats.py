"""Persist chats: one transaction for the records of a whole invocation.

A deletion is final: it wins over every state, whatever their revisions, so that no late record
brings a chat back and all orders of delivery end alike. Otherwise the newer revision wins.
Applications are locked first: their counts and their leases change with the rows of their chats.
"""

from collections.abc import Mapping, Sequence

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.ceilings import carried, raised
from chalicelib.adapters.mysql.chat_batches import Batch, States, gather
from chalicelib.adapters.mysql.chat_rows import (
    insert_chats,
    write_applications,
    write_counts,
    write_states,
)
from chalicelib.adapters.mysql.floors import follow_chats
from chalicelib.adapters.mysql.rows import (
    ChatKey,
    LockedApplication,
    LockedChat,
    find_applications,
    find_chats,
    lock_applications,
    lock_chats,
)
from chalicelib.adapters.mysql.topic import Topic
from chalicelib.domain.numbering import Counter, PersistedChats
from chalicelib.domain.records import Chat, ChatsRecord, Lease


class Outcome(msgspec.Struct):
    """What is to be written, and what is to be told, gathered application by application."""

    new: list[tuple[LockedApplication, Chat]] = []
    newer: list[tuple[LockedChat, Chat]] = []
    raised: list[tuple[Counter, Lease]] = []
    settled: dict[Counter, dict[int, int]] = {}


class PersistChats(Topic):
    """The port's `persist_chats`."""

    def persist_chats(self, records: Sequence[ChatsRecord], window: int) -> PersistedChats:
        batches = gather(records)
        return self._database.transact(lambda cursor: _persist(cursor, batches, window))


def _persist(cursor: Cursor, batches: Mapping[str, Batch], window: int) -> PersistedChats:
    applications = _lock_applications(cursor, batches)
    rows = _lock_chats(cursor, batches, applications)
    outcome, raised_rows = Outcome(), []
    for token, batch in batches.items():
        settled = outcome.settled[Counter(token)] = {}
        application = applications.get(token)
        for number, states in batch.chats.items():
            settled[number] = states.revision
            if application is not None:
                row = rows.get((application.id, number))
                settled[number] = _apply(outcome, application, row, states)
        if application is not None and _follow(outcome, application, batch, window):
            raised_rows.append((application, max(batch.chats)))
    insert_chats(cursor, outcome.new)
    write_states(cursor, outcome.newer)
    for application, last in raised_rows:
        follow_chats(cursor, application, last, window)
    write_counts(cursor, rows.values())
    write_applications(cursor, applications.values())
    return PersistedChats(tuple(outcome.raised), outcome.settled)


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
    outcome: Outcome, application: LockedApplication, row: LockedChat | None, states: States
) -> int:
    """Take the winning state, unless the row says otherwise. Returns the revision it ends with."""
    if row is None:
        outcome.new.append((application, states.to_insert()))
        application.chats_count += not states.deleted
        return states.revision
    row.messages_ceiling = carried(row.messages_lease, states.leases())
    if row.deleted_at is None and (states.deleted or states.revision > row.revision):
        outcome.newer.append((row, states.to_update(row.revision)))
        if states.deleted:
            application.chats_count -= 1
            row.messages_count = 0
    return max(row.revision, states.revision)


def _follow(outcome: Outcome, application: LockedApplication, batch: Batch, window: int) -> bool:
    """Let the application's ceiling follow its records; True where its lease was raised."""
    application.chats_ceiling = carried(application.chats_lease, batch.leases)
    lease = raised(application.chats_lease, batch.leases, max(batch.chats), window)
    if lease is not None:
        application.chats_ceiling = lease.ceiling
        outcome.raised.append((Counter(application.token), lease))
    return lease is not None
