"""Rows of applications and chats under their locks, and how ceilings and floors follow what is stored.

All writers lock rows in one order, so that they do not deadlock: applications by id, then chats by id, then
the rows of a chat.

- The row of a chat is inserted only under the lock of its application. So two writers never wait for each
  other in the gaps of the unique index, and a deleted application gets no more chats.
- `messages`, `deleted_messages` and `skipped_numbers` of a chat are written only under the lock of its row.

Ceilings: no request waits for MySQL in steady state, because the worker extends leases. It does so in the
transaction that stores the records, before the incarnation that holds the lease reaches its ceiling.

Floors: `acquire_lease` records which numbers between the floor and the ceiling have no row, under the lock
of the row, while a request waits. After Redis was lost, this happens in every busy chat at once. So each
extension of a lease counts the rows of a few windows and moves the floor up if none is missing. Then a chat
of a million messages acquires a lease as fast as a new chat.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import batched

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Row, placeholders, to_db_time
from chalicelib.domain.models import AppToken, ChatNumber, Epoch, Lease, Revision, Timestamp

# From 1,000 values on, MariaDB turns an IN list into a temporary table and locks in an undefined order.
MAX_KEYS_PER_STATEMENT = 500
# A floor that is more windows behind stays where it is until the next lease, so that extending is cheap.
MAX_WINDOWS_TO_COUNT = 8


_WRITE_COUNTS = """
INSERT INTO chats (id, application_id, number, created_at,
  messages_count, last_message_number, last_position, messages_floor, messages_ceiling)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE messages_count = VALUES(messages_count),
  last_message_number = VALUES(last_message_number), last_position = VALUES(last_position),
  messages_floor = VALUES(messages_floor), messages_ceiling = VALUES(messages_ceiling)
"""

ChatKey = tuple[int, ChatNumber]  # application id, number


class LockedApplication(msgspec.Struct):
    """The row of an application, locked."""

    id: int
    token: AppToken
    name: str
    created_at: Timestamp
    deleted_at: Timestamp | None
    chats_count: int
    chats_floor: int
    chats_ceiling: int
    chats_holder: str
    chats_epoch: Epoch
    chats_nonce: str
    lost_chats: int
    lost_numbers: int
    lost_epochs: int

    @property
    def chats_lease(self) -> Lease:
        """The lease of the chat numbers."""
        return Lease(self.chats_holder, self.chats_epoch, self.chats_ceiling)


class LockedChat(msgspec.Struct):
    """The row of a chat, locked. It leaves out what users wrote."""

    id: int
    application_id: int
    number: ChatNumber
    revision: Revision
    created_at: Timestamp
    deleted_at: Timestamp | None
    messages_count: int
    last_message_number: int
    last_position: int
    messages_floor: int
    messages_ceiling: int
    messages_holder: str
    messages_epoch: Epoch
    messages_nonce: str

    @property
    def messages_lease(self) -> Lease:
        """The lease of the message numbers."""
        return Lease(self.messages_holder, self.messages_epoch, self.messages_ceiling)


FIND_APPLICATIONS = """
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ({placeholders})
"""
FIND_CHATS = "SELECT application_id, number, id FROM chats WHERE {ranges}"

# The index is forced: a scan of the table would lock the rows of other tenants, and wait for them.
LOCK_APPLICATIONS = f"""
SELECT {", ".join(LockedApplication.__struct_fields__)}
FROM applications FORCE INDEX (PRIMARY) WHERE id IN ({{placeholders}}) ORDER BY id FOR UPDATE
"""
LOCK_CHATS = f"""
SELECT {", ".join(LockedChat.__struct_fields__)}
FROM chats FORCE INDEX (PRIMARY) WHERE id IN ({{placeholders}}) ORDER BY id FOR UPDATE
"""


def find_applications(cursor: Cursor, tokens: Collection[str]) -> dict[str, int]:
    """The ids of these applications by token. Deleted applications are left out."""
    if not tokens:
        return {}
    cursor.execute(FIND_APPLICATIONS.format(placeholders=placeholders(tokens)), tuple(tokens))
    return dict(cursor.fetchall())


def find_chats(cursor: Cursor, wanted: Iterable[ChatKey]) -> dict[ChatKey, int]:
    """The ids of these chats. Deleted chats have a row too; chats without a row are left out."""
    ids: dict[ChatKey, int] = {}
    for keys in batched(sorted(wanted), MAX_KEYS_PER_STATEMENT):
        ranges, args = in_ranges("application_id", keys)
        cursor.execute(FIND_CHATS.format(ranges=ranges), args)
        ids |= {(application_id, number): id_ for application_id, number, id_ in cursor}
    return ids


def lock_applications(cursor: Cursor, ids: Iterable[int]) -> dict[int, LockedApplication]:
    """Lock applications, in order of their ids. Those that were purged meanwhile are left out."""
    return {row[0]: LockedApplication(*row) for row in _lock(cursor, LOCK_APPLICATIONS, ids)}


def lock_chats(cursor: Cursor, ids: Iterable[int]) -> dict[int, LockedChat]:
    """Lock chats, in order of their ids. Those that were purged meanwhile are left out."""
    return {row[0]: LockedChat(*row) for row in _lock(cursor, LOCK_CHATS, ids)}


def in_ranges(parent: str, keys: Iterable[tuple[int, int]]) -> tuple[str, tuple[int, ...]]:
    """The condition `(parent = %s AND number IN (…)) OR …` and its arguments.

    Every server reads it as ranges of an index on both columns. Not every server does so for
    `(parent, number) IN (…)`.
    """
    numbers_by_parent: dict[int, list[int]] = {}
    for parent_id, number in keys:
        numbers_by_parent.setdefault(parent_id, []).append(number)
    ranges = " OR ".join(
        f"({parent} = %s AND number IN ({placeholders(numbers)}))"
        for numbers in numbers_by_parent.values()
    )
    args = (arg for id_, numbers in numbers_by_parent.items() for arg in (id_, *numbers))
    return ranges, tuple(args)


def _lock(cursor: Cursor, sql: str, ids: Iterable[int]) -> Iterator[Row]:
    for batch in batched(sorted(ids), MAX_KEYS_PER_STATEMENT):
        cursor.execute(sql.format(placeholders=placeholders(batch)), batch)
        yield from cursor.fetchall()


def initial_lease(application: LockedApplication, number: int, lease: Lease) -> tuple[Lease, int]:
    """The lease of a chat that gets its row now, and the last position in its change feed.

    `lease` is the lease in the chat's record. If a restore from a backup may have lost the row, more
    numbers, epochs and positions were issued than the record says (`operators/advance_counters.py`).
    """
    if number > application.lost_chats:
        return lease, 0
    epoch, ceiling = (
        Epoch(lease.epoch + application.lost_epochs),
        lease.ceiling + application.lost_numbers,
    )
    return Lease("", epoch, ceiling), application.lost_numbers


INSERT_STUBS = """
INSERT INTO chats (application_id, number, created_at,
  messages_holder, messages_epoch, messages_ceiling, last_position)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
COUNT_STUB = "UPDATE applications SET chats_count = chats_count + 1 WHERE id = %s"


class Stub(msgspec.Struct, frozen=True):
    """What proves that a chat without a row was accepted: the lease under which its messages got numbers.

    The chat's own record has the time when the chat was created; until then `created_at` stands for it.
    """

    lease: Lease
    created_at: Timestamp


def create_stubs(cursor: Cursor, stubs: Mapping[ChatKey, Stub]) -> dict[ChatKey, int]:
    """Insert the chats that are still missing under the locks of their applications. Returns all ids.

    Deleted applications get no chats.
    """
    rows = lock_applications(cursor, {application_id for application_id, _ in stubs})
    alive = {row.id for row in rows.values() if row.deleted_at is None}
    existing = find_chats(cursor, stubs)
    new = [key for key in sorted(stubs) if key not in existing and key[0] in alive]
    cursor.executemany(INSERT_STUBS, [_stub(rows[key[0]], key[1], stubs[key]) for key in new])
    cursor.executemany(COUNT_STUB, [(application_id,) for application_id, _ in new])
    return existing | find_chats(cursor, new)


def _stub(application: LockedApplication, number: int, stub: Stub) -> tuple[object, ...]:
    lease, position = initial_lease(application, number, stub.lease)
    row = (application.id, number, to_db_time(stub.created_at))
    return (*row, lease.holder, lease.epoch, lease.ceiling, position)


def latest_lease(leases: Iterable[Lease]) -> Lease | None:
    """The newest of several leases of one counter; None if there are none."""
    return max(leases, key=lambda lease: (lease.epoch, lease.ceiling), default=None)


def highest_ceiling(held: Lease, leases: Iterable[Lease]) -> int:
    """The highest of the row's ceiling and the ceilings in records: a ceiling never falls.

    Older leases do not count: a newer lease starts above their ceilings. A released lease (it has no holder)
    does not count either: its late records would bring back the numbers that the release returned.
    """
    oldest_epoch = held.epoch if held.holder else held.epoch + 1
    return max([held.ceiling, *(lease.ceiling for lease in leases if lease.epoch >= oldest_epoch)])


def extended_lease(held: Lease, leases: Collection[Lease], last: int, window: int) -> Lease | None:
    """The row's lease with a ceiling of `last + window`, if less than half a window is left of it.

    None if more is left, and if no record was numbered under it: then its incarnation may be gone.
    """
    is_used = any((lease.holder, lease.epoch) == (held.holder, held.epoch) for lease in leases)
    if not is_used or 2 * (held.ceiling - last) >= window:
        return None
    return Lease(held.holder, held.epoch, last + window)


COUNT_CHATS = """
SELECT COUNT(*) FROM chats WHERE application_id = %s AND number > %s AND number <= %s
"""
COUNT_MESSAGES = """
SELECT COUNT(*) FROM messages WHERE chat_id = %s AND number > %s AND number <= %s
"""


def advance_messages_floor(cursor: Cursor, chat: LockedChat, window: int) -> None:
    """Move a chat's floor to a window below its last message, if no number below that is missing."""
    top = chat.last_message_number - window
    if _is_dense(cursor, COUNT_MESSAGES, chat.id, chat.messages_floor, top, window):
        chat.messages_floor = top


def advance_chats_floor(
    cursor: Cursor, application: LockedApplication, last: int, window: int
) -> None:
    """Move an application's floor to a window below `last`, its highest chat number, in the same way."""
    top = last - window
    if _is_dense(cursor, COUNT_CHATS, application.id, application.chats_floor, top, window):
        application.chats_floor = top


def _is_dense(cursor: Cursor, sql: str, parent_id: int, floor: int, top: int, window: int) -> bool:
    """Whether every number above `floor`, up to `top`, has a row. False if counting would cost too much."""
    if not 0 < top - floor <= MAX_WINDOWS_TO_COUNT * window:
        return False
    cursor.execute(sql, (parent_id, floor, top))
    return bool(cursor.fetchall() == ((top - floor,),))


def write_counts(cursor: Cursor, rows: Collection[LockedChat]) -> None:
    """Write the message counts, last numbers, last positions, floors and ceilings of locked rows."""
    cursor.executemany(_WRITE_COUNTS, [_counts(row) for row in rows])


def _counts(row: LockedChat) -> tuple[object, ...]:
    unchanged = (row.id, row.application_id, row.number, row.created_at)
    counts = (row.messages_count, row.last_message_number, row.last_position)
    return (*unchanged, *counts, row.messages_floor, row.messages_ceiling)
