"""Persist messages: one transaction for the records of a whole invocation.

Promises 2 and 7: each state is stored once however often and in whatever order it comes, and the
counts change in the transaction that changes the rows. What could break them are two workers on one
chat (held apart by the chat's row lock) and a record that comes late (the newer revision wins).
Tests: "redelivery", "order" and "threads" in `tests/contract/test_store.py`.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.ceilings import carried, raised
from chalicelib.adapters.mysql.chat_rows import write_counts
from chalicelib.adapters.mysql.floors import follow_messages
from chalicelib.adapters.mysql.message_batches import Batch, ChatName, gather
from chalicelib.adapters.mysql.message_rows import (
    NOT_STORED,
    Known,
    MessageKey,
    MessageOfChat,
    insert_messages,
    known_states,
    mark_deleted,
    replace_messages,
    unmark_deleted,
)
from chalicelib.adapters.mysql.rows import LockedChat
from chalicelib.adapters.mysql.stubs import open_chats
from chalicelib.adapters.mysql.topic import Topic
from chalicelib.domain.numbering import Counter, PersistedMessages
from chalicelib.domain.records import Lease, Message, MessagesRecord


class Outcome(msgspec.Struct):
    """What is to be written, and what is to be told, gathered chat by chat."""

    new: list[MessageOfChat] = []
    newer: list[MessageOfChat] = []
    deleted: list[MessageKey] = []
    brought_back: list[MessageKey] = []
    documents: list[tuple[str, int, Message]] = []
    raised: list[tuple[Counter, Lease]] = []
    settled: dict[Counter, dict[int, int]] = {}


class PersistMessages(Topic):
    """The port's `persist_messages`."""

    def persist_messages(self, records: Sequence[MessagesRecord], window: int) -> PersistedMessages:
        batches = gather(records)
        return self._database.transact(lambda cursor: _persist(cursor, batches, window))


def _persist(cursor: Cursor, batches: Mapping[ChatName, Batch], window: int) -> PersistedMessages:
    rows = open_chats(cursor, batches)
    known = known_states(
        cursor, {row.id: _maybe_stored(row, batches[name]) for name, row in rows.items()}
    )
    outcome, raised_rows = Outcome(), []
    for name, batch in batches.items():
        row = rows.get(name)
        if row is not None:
            _apply(outcome, name, row, batch, known[row.id])
            if _follow(outcome, name, row, batch.leases, window):
                raised_rows.append(row)
        else:
            revisions = {number: state.revision for number, state in batch.newest.items()}
            outcome.settled[Counter(*name)] = revisions
    insert_messages(cursor, outcome.new)
    replace_messages(cursor, outcome.newer)
    mark_deleted(cursor, outcome.deleted)
    unmark_deleted(cursor, outcome.brought_back)
    for row in raised_rows:
        follow_messages(cursor, row, window)
    write_counts(cursor, rows.values())
    return PersistedMessages(tuple(outcome.documents), tuple(outcome.raised), outcome.settled)


def _maybe_stored(row: LockedChat, batch: Batch) -> list[int]:
    """Numbers that may have a row; those above the chat's last one are certain to be new."""
    return [number for number in batch.newest if number <= row.last_message_number]


def _apply(
    outcome: Outcome, name: ChatName, row: LockedChat, batch: Batch, known: Mapping[int, Known]
) -> None:
    """Take each state that is newer than what is stored, count it, and give it the next position."""
    settled = outcome.settled.setdefault(Counter(*name), {})
    for message in sorted(batch.newest.values(), key=lambda state: state.revision):
        number = message.number
        stored = known.get(number, NOT_STORED)
        settled[number] = max(message.revision, stored.revision)
        if message.revision >= stored.revision:
            outcome.documents.append((*name, message))
        if message.revision > stored.revision:
            changes = outcome.new if stored is NOT_STORED else outcome.newer
            row.last_position += 1
            changes.append((row.id, row.last_position, message))
            if message.deleted_at is not None:
                outcome.deleted.append((row.id, number))
            elif stored.deleted and stored is not NOT_STORED:
                outcome.brought_back.append((row.id, number))
            row.messages_count += (message.deleted_at is None) - (not stored.deleted)
    row.last_message_number = max(row.last_message_number, *batch.newest)


def _follow(
    outcome: Outcome, name: ChatName, row: LockedChat, leases: Collection[Lease], window: int
) -> bool:
    """Let the chat's ceiling follow its records; True where its lease was raised."""
    row.messages_ceiling = carried(row.messages_lease, leases)
    lease = raised(row.messages_lease, leases, row.last_message_number, window)
    if lease is not None:
        row.messages_ceiling = lease.ceiling
        outcome.raised.append((Counter(*name), lease))
    return lease is not None
