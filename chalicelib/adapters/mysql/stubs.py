"""The chats that messages are persisted into: locked, and made as stubs where they are not there.

A message may come before its chat. Its record carries the lease of the chat's numbers, so that the
stub can already answer for them; the chat's own record fills it in.
"""

from collections.abc import Mapping

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.ceilings import beginning, newest
from chalicelib.adapters.mysql.message_batches import Batch, ChatName
from chalicelib.adapters.mysql.rows import (
    ChatKey,
    LockedApplication,
    LockedChat,
    find_applications,
    find_chats,
    lock_applications,
    lock_chats,
)
from chalicelib.adapters.mysql.values import time_in

INSERT_STUBS = """
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
COUNT_STUB = "UPDATE applications SET chats_count = chats_count + 1 WHERE id = %s"


def open_chats(cursor: Cursor, batches: Mapping[ChatName, Batch]) -> dict[ChatName, LockedChat]:
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
    lease = newest(batch.leases)
    assert lease is not None  # every batch has a record
    begun, position = beginning(application, number, lease)
    row = (application.id, number, time_in(first.created_at))
    return (*row, begun.holder, begun.epoch, begun.ceiling, position)
