"""Leases: how far the numbers of a counter may go, and which numbers were skipped."""

from collections.abc import Iterable, Iterator

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, to_db_time
from chalicelib.adapters.mysql.locking import find_chats, lock_applications, lock_chats
from chalicelib.domain.errors import ConflictError, GoneError, UnavailableError
from chalicelib.domain.leases import Counter, IssuedUpTo, LeaseGrant, LeaseMissing, LeaseReleasing
from chalicelib.domain.models import Lease
from chalicelib.domain.number_ranges import NumberRange, joined, size, without

# Numbers that were passed over when a memory was lost: noted once, reported while still missing.

# How many numbers one statement looks at, so that none comes near the read time-out.
STRIDE = 200_000

# A number beyond the last one closes the walk, so that the gap behind the last row shows too.
GAPS = """
SELECT previous + 1, number - 1 FROM (
  SELECT number, COALESCE(LAG(number) OVER (ORDER BY number), %s) AS previous FROM (
    SELECT number FROM {table} WHERE {parent} = %s AND number > %s AND number <= %s
    UNION ALL SELECT %s
  ) AS used
) AS walk WHERE number > previous + 1 ORDER BY number
"""
NOTE = """
INSERT INTO skipped_numbers (application_id, chat_id, `first`, `last`, `at`)
VALUES (%s, %s, %s, %s, %s)
"""
RANGES = """
SELECT c.id, s.`first`, s.`last`
FROM applications a
JOIN chats c ON c.application_id = a.id AND c.number = %s
JOIN skipped_numbers s ON s.application_id = a.id AND s.chat_id = c.id
WHERE a.token = %s AND a.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY s.`first`
"""
ARRIVED = "SELECT number FROM messages WHERE chat_id = %s AND ({ranges}) ORDER BY number"
MAY_COME = """
SELECT a.chats_ceiling, a.chats_holder, a.chats_epoch, EXISTS (
  SELECT 1 FROM skipped_numbers s
  WHERE s.application_id = a.id AND s.chat_id IS NULL
    AND s.`first` <= %s AND s.`last` >= %s AND s.`at` < %s
) FROM applications a WHERE a.token = %s AND a.deleted_at IS NULL
"""


def record_gaps(
    cursor: Cursor, application_id: int, chat_id: int | None, passed: tuple[int, int], at: str
) -> int:
    """Note which numbers above `passed[0]`, up to `passed[1]`, have no row, and say how many they are.

    Under the parent's lock.
    """
    gaps = joined(_gaps(cursor, application_id, chat_id, *passed))
    note(cursor, application_id, chat_id, gaps, at)
    return size(gaps)


def note(
    cursor: Cursor, application_id: int, chat_id: int | None, gaps: Iterable[NumberRange], at: str
) -> None:
    """Note ranges of numbers. Under the parent's lock."""
    cursor.executemany(
        NOTE, [(application_id, chat_id, gap.first, gap.last, to_db_time(at)) for gap in gaps]
    )


def _gaps(
    cursor: Cursor, application_id: int, chat_id: int | None, floor: int, ceiling: int
) -> Iterator[NumberRange]:
    if chat_id is None:
        sql, parent_id = GAPS.format(table="chats", parent="application_id"), application_id
    else:
        sql, parent_id = GAPS.format(table="messages", parent="chat_id"), chat_id
    for low in range(floor, ceiling, STRIDE):
        high = min(low + STRIDE, ceiling)
        cursor.execute(sql, (low, parent_id, low, high, high + 1))
        yield from (NumberRange(first, last) for first, last in cursor.fetchall())


# Leases: how far the numbers of a counter may go, and which memory may hand them out.
#
# Promise 1, that a number is never given twice, rests on this module: a ceiling does not fall, and a
# lease begins above the highest ceiling that was ever given, both under the lock of the parent's row. Two
# exceptions are none: a lease whose memory hands out nothing any more gives back what it never gave
# (`release_lease`), and what was given to an attempt that was never installed is given again.
# Tests: `tests/contract/test_store.py`, `tests/simulation`.

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


class Parent(msgspec.Struct):
    """The row that a counter hangs on, under its lock. `chat_id` is None for chat numbers."""

    application_id: int
    chat_id: int | None
    floor: int
    ceiling: int
    holder: str
    epoch: int
    nonce: str


class MySqlLeases:
    """Begin a lease for a memory, raise the ceiling of the one it holds, take it back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease_epoch(self, counter: Counter) -> int | None:
        if counter.chat is None:
            rows = self._database.read(CHATS_EPOCH, (counter.token,))
        else:
            rows = self._database.read(MESSAGES_EPOCH, (counter.chat, counter.token))
        if not rows:
            return None
        epoch: int | None
        epoch, application_deleted_at, chat_deleted_at = rows[0]
        _refuse_deleted("application", application_deleted_at)
        _refuse_deleted("chat", chat_deleted_at)
        return epoch

    def acquire_lease(
        self, counter: Counter, need: LeaseMissing, epoch: int, window: int, at: str
    ) -> LeaseGrant | None:
        def work(cursor: Cursor) -> LeaseGrant | None:
            parent = _lock_parent(cursor, counter)
            if parent is None:
                return None
            if parent.epoch != epoch:
                raise ConflictError("another lease was begun")
            anew = parent.holder != need.holder or parent.nonce not in need.abandoned_nonces
            lost, skipped = anew and parent.holder != "", 0
            if anew:
                passed_over = (parent.floor, parent.ceiling)
                skipped = record_gaps(
                    cursor, parent.application_id, parent.chat_id, passed_over, at
                )
                parent.floor, parent.ceiling = parent.ceiling, parent.ceiling + window
            parent.holder, parent.epoch, parent.nonce = need.holder, epoch + 1, need.nonce
            _write(cursor, parent)
            lease = Lease(parent.holder, parent.epoch, parent.ceiling)
            return LeaseGrant(parent.floor, lease, lost, skipped)

        return self._database.transact(work)

    def release_lease(self, counter: Counter, closing: LeaseReleasing) -> None:
        def work(cursor: Cursor) -> None:
            parent = _lock_parent(cursor, counter)
            if parent and (parent.holder, parent.epoch) == (closing.holder, closing.epoch):
                parent.ceiling, parent.holder, parent.nonce = closing.last, "", ""
                _write(cursor, parent)

        self._database.transact(work)

    def extend_lease(self, counter: Counter, lease: Lease, window: int) -> Lease | None:
        def work(cursor: Cursor) -> Lease | None:
            parent = _lock_parent(cursor, counter)
            if parent is None:
                raise UnavailableError("the row that keeps this lease is not there yet")
            if (parent.holder, parent.epoch) != (lease.holder, lease.epoch):
                return None
            parent.ceiling = max(parent.ceiling, lease.ceiling + window)
            _write(cursor, parent)
            return Lease(parent.holder, parent.epoch, parent.ceiling)

        return self._database.transact(work)

    def skipped_numbers(self, token: str, chat: int) -> list[NumberRange]:
        rows = self._database.read(RANGES, (chat, token))
        if not rows:
            return []
        # Not a join: for one, servers walk the whole chat for every range.
        ranges = " OR ".join(["number BETWEEN %s AND %s"] * len(rows))
        bounds = tuple(bound for _, first, last in rows for bound in (first, last))
        arrived = self._database.read(ARRIVED.format(ranges=ranges), (rows[0][0], *bounds))
        noted = (NumberRange(first, last) for _, first, last in rows)
        return list(without(noted, [number for (number,) in arrived]))

    def chat_may_arrive(
        self, token: str, number: int, chats: IssuedUpTo | None, since: str
    ) -> bool:
        rows = self._database.read(MAY_COME, (number, number, to_db_time(since), token))
        if not rows:
            return False
        ceiling, holder, epoch, passed_over = rows[0]
        is_newest = chats is not None and (chats.holder, chats.epoch) == (holder, epoch)
        last = chats.last if chats and is_newest else ceiling
        return number <= last and not passed_over


def _lock_parent(cursor: Cursor, counter: Counter) -> Parent | None:
    cursor.execute(FIND_APPLICATION, (counter.token,))
    found = cursor.fetchone()
    if found is None:
        return None
    application_id, deleted_at = found
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


def _lock_chat(cursor: Cursor, application_id: int, number: int) -> Parent | None:
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


def _refuse_deleted(what: str, deleted_at: str | None) -> None:
    if deleted_at is not None:
        raise GoneError(f"the {what} was deleted")


def _write(cursor: Cursor, parent: Parent) -> None:
    is_chat = parent.chat_id is not None
    sql = SET_MESSAGES_LEASE if is_chat else SET_CHATS_LEASE
    row_id = parent.chat_id if is_chat else parent.application_id
    lease = (parent.floor, parent.ceiling, parent.holder, parent.epoch, parent.nonce)
    cursor.execute(sql, (*lease, row_id))
