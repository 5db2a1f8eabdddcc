"""Leases: how far the numbers of a counter may go, which incarnation may issue them, and which were skipped.

Promise 1, that no number is issued twice, rests on this module. A ceiling never falls, and a lease starts
above the highest ceiling that was ever granted, both under the lock of the row. Two cases look like
exceptions and are safe:

- A released lease returns numbers that it never issued (`release_leases`).
- A range that was granted to an attempt which never installed it is granted again (`abandoned_nonces`).

Tests: `tests/contract/test_store.py`, `tests/simulation`.

If Redis is lost, the numbers that it may have issued without a stored version are skipped. They are recorded
once, when the next lease is acquired. A late record may still bring one of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import batched

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import (
    MAX_RANGES,
    Database,
    in_number_ranges,
    to_db_time,
)
from chalicelib.adapters.mysql.locking import (
    Stub,
    create_stubs,
    find_applications,
    find_chats,
    lock_applications,
    lock_chats,
)
from chalicelib.domain.errors import ConflictError, GoneError
from chalicelib.domain.leases import Counter, IssuedUpTo, LeaseGrant, LeaseMissing, LeaseReleasing
from chalicelib.domain.models import AppToken, ChatNumber, Epoch, Lease, Timestamp
from chalicelib.domain.number_ranges import NumberRange, count, merged, subtract

# How many numbers one statement checks: far from the read time-out.
NUMBERS_PER_STATEMENT = 200_000

# The last row of the UNION is a number above the range, so that a gap at its end is found too.
MISSING = """
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), %s) AS previous FROM (
    SELECT number FROM {table} WHERE {parent} = %s AND number > %s AND number <= %s
    UNION ALL SELECT %s
  ) AS used
) AS neighbours WHERE number > previous + 1 ORDER BY number
"""
RECORD_SKIPPED = """
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (%s, %s, %s, %s, %s)
"""
SKIPPED = """
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = %s
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`
"""
ARRIVED = "SELECT number FROM messages WHERE chat_id = %s AND ({ranges}) ORDER BY number"
CHAT_MAY_ARRIVE = """
SELECT a.chats_ceiling, a.chats_holder, a.chats_epoch, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= %s AND s.`last` >= %s AND s.`at` < %s
) FROM applications a WHERE a.token = %s AND a.deleted_at IS NULL
"""
FIND_APPLICATION = "SELECT id, deleted_at FROM applications WHERE token = %s"
CHATS_EPOCH = "SELECT chats_epoch, deleted_at, NULL FROM applications WHERE token = %s"
MESSAGES_EPOCH = """
SELECT c.messages_epoch, a.deleted_at, c.deleted_at
FROM applications a LEFT JOIN chats c ON c.application_id = a.id AND c.number = %s
WHERE a.token = %s
"""
SET_CHATS_LEASE = """
UPDATE applications
SET chats_floor = %s, chats_ceiling = %s, chats_holder = %s, chats_epoch = %s, chats_nonce = %s
WHERE id = %s
"""
SET_MESSAGES_LEASE = """
UPDATE chats
SET messages_floor = %s, messages_ceiling = %s, messages_holder = %s, messages_epoch = %s,
  messages_nonce = %s
WHERE id = %s
"""


RELEASE_CHATS_LEASE = """
UPDATE applications SET chats_ceiling = %s, chats_holder = '', chats_nonce = '' WHERE id = %s
"""
# The rows exist and are locked: one statement updates all of them.
RELEASE_MESSAGES_LEASES = """
INSERT INTO chats (id, application_id, number, created_at, messages_ceiling)
VALUES (%s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE messages_ceiling = VALUES(messages_ceiling),
  messages_holder = '', messages_nonce = ''
"""


class Parent(msgspec.Struct):
    """The locked row that holds a counter's lease. `chat_id` is None for the chat numbers."""

    application_id: int
    chat_id: int | None
    floor: int
    ceiling: int
    holder: str
    epoch: Epoch
    nonce: str


class MySqlLeases:
    """Grants, extends and takes back leases, and answers which numbers were skipped."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease_epoch(self, counter: Counter) -> Epoch | None:
        if counter.chat is None:
            rows = self._database.read(CHATS_EPOCH, (counter.token,))
        else:
            rows = self._database.read(MESSAGES_EPOCH, (counter.chat, counter.token))
        if not rows:
            return None
        epoch: Epoch | None
        epoch, application_deleted_at, chat_deleted_at = rows[0]
        _refuse_deleted("application", application_deleted_at)
        _refuse_deleted("chat", chat_deleted_at)
        return epoch

    def acquire_lease(
        self, counter: Counter, missing: LeaseMissing, epoch: Epoch, window: int, at: Timestamp
    ) -> LeaseGrant | None:
        def work(cursor: Cursor) -> LeaseGrant | None:
            parent = _lock_parent(cursor, counter)
            if parent is None:
                return None
            if parent.epoch != epoch:
                raise ConflictError("another lease was acquired meanwhile")
            # Otherwise the newest grant was never installed, and its range is free.
            is_new_range = (
                parent.holder != missing.holder or parent.nonce not in missing.abandoned_nonces
            )
            lost, skipped = is_new_range and parent.holder != "", 0
            if is_new_range:
                skipped = record_missing(
                    cursor, parent.application_id, parent.chat_id, parent.floor, parent.ceiling, at
                )
                parent.floor, parent.ceiling = parent.ceiling, parent.ceiling + window
            parent.holder, parent.epoch, parent.nonce = (
                missing.holder,
                Epoch(epoch + 1),
                missing.nonce,
            )
            _write(cursor, parent)
            lease = Lease(parent.holder, parent.epoch, parent.ceiling)
            return LeaseGrant(parent.floor, lease, lost, skipped)

        return self._database.transact(work)

    def release_leases(self, releasing: Mapping[Counter, LeaseReleasing]) -> None:
        by_token: dict[AppToken, dict[ChatNumber | None, LeaseReleasing]] = {}
        for counter, lease in releasing.items():
            by_token.setdefault(counter.token, {})[counter.chat] = lease
        for token, of_application in by_token.items():
            self._database.transact(partial(_release, token=token, releasing=of_application))

    def extend_lease(
        self, counter: Counter, lease: Lease, window: int, at: Timestamp
    ) -> Lease | None:
        def work(cursor: Cursor) -> Lease | None:
            parent = _lock_parent(cursor, counter) or _create_chat(cursor, counter, Stub(lease, at))
            if (parent.holder, parent.epoch) != (lease.holder, lease.epoch):
                return None
            parent.ceiling = max(parent.ceiling, lease.ceiling + window)
            _write(cursor, parent)
            return Lease(parent.holder, parent.epoch, parent.ceiling)

        return self._database.transact(work)

    def skipped_numbers(self, token: AppToken, chat: ChatNumber) -> list[NumberRange]:
        rows = self._database.read(SKIPPED, (chat, token))
        if not rows:
            return []
        recorded = [NumberRange(first, last) for _, first, last in rows]
        arrived: list[int] = []
        for part in batched(recorded, MAX_RANGES):
            ranges, bounds = in_number_ranges(part)
            sql = ARRIVED.format(ranges=ranges)
            arrived += [number for (number,) in self._database.read(sql, (rows[0][0], *bounds))]
        return list(subtract(recorded, arrived))

    def chat_may_arrive(
        self, token: AppToken, number: ChatNumber, chats: IssuedUpTo | None, since: Timestamp
    ) -> bool:
        rows = self._database.read(CHAT_MAY_ARRIVE, (number, number, to_db_time(since), token))
        if not rows:
            return False
        ceiling, holder, epoch, is_skipped = rows[0]
        is_newest = chats is not None and (chats.holder, chats.epoch) == (holder, epoch)
        last = chats.last if chats and is_newest else ceiling
        return number <= last and not is_skipped


def _release(
    cursor: Cursor, token: AppToken, releasing: Mapping[ChatNumber | None, LeaseReleasing]
) -> None:
    """Release leases of one application, under the locks of their rows."""
    cursor.execute(FIND_APPLICATION, (token,))
    ids = [id_ for id_, deleted_at in cursor.fetchall() if deleted_at is None]
    chats = [(id_, number) for id_ in ids for number in releasing if number is not None]
    if None in releasing:
        for application in lock_applications(cursor, ids).values():
            if application.deleted_at is None and _holds(application.chats_lease, releasing[None]):
                row = (releasing[None].last, application.id)
                cursor.execute(RELEASE_CHATS_LEASE, row)
    rows = lock_chats(cursor, find_chats(cursor, chats).values()).values() if chats else ()
    cursor.executemany(
        RELEASE_MESSAGES_LEASES,
        [
            (row.id, row.application_id, row.number, row.created_at, releasing[row.number].last)
            for row in rows
            if row.deleted_at is None and _holds(row.messages_lease, releasing[row.number])
        ],
    )


def _holds(lease: Lease, releasing: LeaseReleasing) -> bool:
    return (lease.holder, lease.epoch) == (releasing.holder, releasing.epoch)


def record_missing(
    cursor: Cursor, application_id: int, chat_id: int | None, floor: int, ceiling: int, at: str
) -> int:
    """Record as skipped the numbers above `floor`, up to `ceiling`, that have no row. Returns their count.

    The caller holds the lock of the application (`chat_id` is None) or of the chat. `at` is RFC 3339.
    """
    missing = merged(_missing(cursor, application_id, chat_id, floor, ceiling))
    record_skipped(cursor, application_id, chat_id, missing, at)
    return count(missing)


def record_skipped(
    cursor: Cursor,
    application_id: int,
    chat_id: int | None,
    skipped: Iterable[NumberRange],
    at: str,
) -> None:
    """Record ranges of numbers as skipped since `at`, under the same lock as `record_missing`."""
    cursor.executemany(
        RECORD_SKIPPED,
        [
            (application_id, chat_id, numbers.first, numbers.last, to_db_time(at))
            for numbers in skipped
        ],
    )


def _missing(
    cursor: Cursor, application_id: int, chat_id: int | None, floor: int, ceiling: int
) -> Iterator[NumberRange]:
    if chat_id is None:
        sql, parent_id = MISSING.format(table="chats", parent="application_id"), application_id
    else:
        sql, parent_id = MISSING.format(table="messages", parent="chat_id"), chat_id
    for low in range(floor, ceiling, NUMBERS_PER_STATEMENT):
        high = min(low + NUMBERS_PER_STATEMENT, ceiling)
        cursor.execute(sql, (low, parent_id, low, high, high + 1))
        yield from (NumberRange(first, last) for first, last in cursor.fetchall())


def _lock_parent(cursor: Cursor, counter: Counter) -> Parent | None:
    cursor.execute(FIND_APPLICATION, (counter.token,))
    row = cursor.fetchone()
    if row is None:
        return None
    application_id, deleted_at = row
    _refuse_deleted("application", deleted_at)
    if counter.chat is None:
        return _lock_application(cursor, application_id)
    return _lock_chat(cursor, application_id, counter.chat)


def _lock_application(cursor: Cursor, application_id: int) -> Parent | None:
    row = lock_applications(cursor, [application_id]).get(application_id)
    if row is None or row.deleted_at is not None:
        raise GoneError("the application was deleted")
    return Parent(
        row.id,
        None,
        row.chats_floor,
        row.chats_ceiling,
        row.chats_holder,
        row.chats_epoch,
        row.chats_nonce,
    )


def _lock_chat(cursor: Cursor, application_id: int, number: ChatNumber) -> Parent | None:
    ids = find_chats(cursor, [(application_id, number)])
    row = next(iter(lock_chats(cursor, ids.values()).values()), None)
    if row is None:
        return None
    _refuse_deleted("chat", row.deleted_at)
    return Parent(
        application_id,
        row.id,
        row.messages_floor,
        row.messages_ceiling,
        row.messages_holder,
        row.messages_epoch,
        row.messages_nonce,
    )


def _create_chat(cursor: Cursor, counter: Counter, stub: Stub) -> Parent:
    """Insert the stub of a chat that has no row yet, and lock it. The chat's own record fills the stub in."""
    application_id = find_applications(cursor, [counter.token]).get(counter.token)
    if application_id is not None and counter.chat is not None:
        create_stubs(cursor, {(application_id, counter.chat): stub})
        if parent := _lock_chat(cursor, application_id, counter.chat):
            return parent
    raise GoneError("the application was deleted")


def _refuse_deleted(what: str, deleted_at: Timestamp | None) -> None:
    if deleted_at is not None:
        raise GoneError(f"the {what} was deleted")


def _write(cursor: Cursor, parent: Parent) -> None:
    is_chat = parent.chat_id is not None
    sql = SET_MESSAGES_LEASE if is_chat else SET_CHATS_LEASE
    row_id = parent.chat_id if is_chat else parent.application_id
    lease = (parent.floor, parent.ceiling, parent.holder, parent.epoch, parent.nonce)
    cursor.execute(sql, (*lease, row_id))
