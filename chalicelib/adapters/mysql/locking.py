"""Rows of applications and chats under their locks, and how ceilings and floors follow what is stored."""

from collections.abc import Collection, Iterable, Iterator
from itertools import batched

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Row, placeholders
from chalicelib.domain.models import Lease

# Rows of applications and chats as the writers see them: found without locks, then locked in order.
#
# The order in which rows are locked is the same everywhere, so that nothing deadlocks:
# applications by id, then chats by id, then what hangs on a chat. A chat's row is only ever inserted
# under its application's lock: two writers never meet in the gaps of the unique index, and an
# application that was seen deleted under its lock gets no more chats. `messages` and
# `skipped_numbers` of a chat are only written under the chat's lock.

# From 1,000 on, MariaDB makes a list into a table of its own, and its order is nobody's.
AT_ONCE = 500

ChatKey = tuple[int, int]  # application id, number


class LockedApplication(msgspec.Struct):
    """An application under its lock."""

    id: int
    token: str
    name: str
    created_at: str
    deleted_at: str | None
    chats_count: int
    chats_floor: int
    chats_ceiling: int
    chats_holder: str
    chats_epoch: int
    chats_nonce: str
    lost_chats: int
    lost_numbers: int
    lost_epochs: int

    @property
    def chats_lease(self) -> Lease:
        """The lease of the chats' numbers."""
        return Lease(self.chats_holder, self.chats_epoch, self.chats_ceiling)


class LockedChat(msgspec.Struct):
    """A chat under its lock, without what users wrote."""

    id: int
    application_id: int
    number: int
    revision: int
    created_at: str
    deleted_at: str | None
    messages_count: int
    last_message_number: int
    last_position: int
    messages_floor: int
    messages_ceiling: int
    messages_holder: str
    messages_epoch: int
    messages_nonce: str

    @property
    def messages_lease(self) -> Lease:
        """The lease of the messages' numbers."""
        return Lease(self.messages_holder, self.messages_epoch, self.messages_ceiling)


FIND_APPLICATIONS = """
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ({placeholders})
"""
FIND_CHATS = "SELECT application_id, number, id FROM chats WHERE {ranges}"

# The index is forced because a scan of the table would lock (and wait for) rows of others.
LOCK_APPLICATIONS = f"""
SELECT {", ".join(LockedApplication.__struct_fields__)}
FROM applications FORCE INDEX (PRIMARY) WHERE id IN ({{placeholders}}) ORDER BY id FOR UPDATE
"""
LOCK_CHATS = f"""
SELECT {", ".join(LockedChat.__struct_fields__)}
FROM chats FORCE INDEX (PRIMARY) WHERE id IN ({{placeholders}}) ORDER BY id FOR UPDATE
"""


def find_applications(cursor: Cursor, tokens: Collection[str]) -> dict[str, int]:
    """Ids of the applications that are there and not deleted."""
    if not tokens:
        return {}
    cursor.execute(FIND_APPLICATIONS.format(placeholders=placeholders(tokens)), tuple(tokens))
    return dict(cursor.fetchall())


def find_chats(cursor: Cursor, wanted: Iterable[ChatKey]) -> dict[ChatKey, int]:
    """Ids of the chats that have a row, deleted ones included."""
    found: dict[ChatKey, int] = {}
    for some in batched(sorted(wanted), AT_ONCE):
        ranges, args = in_ranges("application_id", some)
        cursor.execute(FIND_CHATS.format(ranges=ranges), args)
        found |= {(application_id, number): id_ for application_id, number, id_ in cursor}
    return found


def lock_applications(cursor: Cursor, ids: Iterable[int]) -> dict[int, LockedApplication]:
    """Lock applications. Those that were purged in the meantime are missing from the answer."""
    return {row[0]: LockedApplication(*row) for row in _lock(cursor, LOCK_APPLICATIONS, ids)}


def lock_chats(cursor: Cursor, ids: Iterable[int]) -> dict[int, LockedChat]:
    """Lock chats. Those that were purged in the meantime are missing from the answer."""
    return {row[0]: LockedChat(*row) for row in _lock(cursor, LOCK_CHATS, ids)}


def in_ranges(parent: str, keys: Iterable[tuple[int, int]]) -> tuple[str, tuple[int, ...]]:
    """`(parent = %s AND number IN (…)) OR …` with its arguments: ranges of an index on both.

    Row constructors, `(parent, number) IN (…)`, are not a range for every server.
    """
    numbers: dict[int, list[int]] = {}
    for parent_id, number in keys:
        numbers.setdefault(parent_id, []).append(number)
    ranges = " OR ".join(
        f"({parent} = %s AND number IN ({placeholders(wanted)}))" for wanted in numbers.values()
    )
    return ranges, tuple(arg for key, wanted in numbers.items() for arg in (key, *wanted))


def _lock(cursor: Cursor, sql: str, ids: Iterable[int]) -> Iterator[Row]:
    for some in batched(sorted(ids), AT_ONCE):
        cursor.execute(sql.format(placeholders=placeholders(some)), some)
        yield from cursor.fetchall()


# How a ceiling follows the records that were numbered under it. No I/O: the caller holds the row.
#
# A raise here is why no request waits for MySQL in steady state: PERSIST raises the ceiling, in the
# transaction that it runs anyway, before the memory that holds the lease has come to its end.


def initial_lease(application: LockedApplication, number: int, lease: Lease) -> tuple[Lease, int]:
    """The lease of a chat that has no row yet, by its record, and the last position of its changes.

    Where a restore may have lost the row (`lift.py`), more was given than the record knows.
    """
    if number > application.lost_chats:
        return lease, 0
    epoch, ceiling = lease.epoch + application.lost_epochs, lease.ceiling + application.lost_numbers
    return Lease("", epoch, ceiling), application.lost_numbers


def latest_lease(leases: Iterable[Lease]) -> Lease | None:
    """The latest of some leases of one counter."""
    return max(leases, key=lambda lease: (lease.epoch, lease.ceiling), default=None)


def highest_ceiling(held: Lease, leases: Iterable[Lease]) -> int:
    """The ceiling takes the highest that a record carries; it never falls.

    Not that of an earlier lease, which is below the one that began after it; and not that of a lease
    that was given back (it has no holder any more), whose late records would take back what was given.
    """
    since = held.epoch if held.holder else held.epoch + 1
    return max([held.ceiling, *(lease.ceiling for lease in leases if lease.epoch >= since)])


def extended(lease: Lease, leases: Collection[Lease], last: int, window: int) -> Lease | None:
    """The lease now in force, a window above `last`, where less than half a window is left of it.

    Only where one of the records was numbered under it: another memory may have begun since.
    """
    ours = any((one.holder, one.epoch) == (lease.holder, lease.epoch) for one in leases)
    if not ours or 2 * (lease.ceiling - last) >= window:
        return None
    return Lease(lease.holder, lease.epoch, last + window)


# How far down a begin has to look for numbers that have no row.
#
# A begin notes the gaps between the floor and the ceiling of the lease before, under the row's lock,
# and after a loss of memory every busy chat begins at once. So the floor follows the numbers that are
# stored: with each raise, a range of a few windows is counted, and where it is whole the floor moves
# up. A chat of a million messages then begins as fast as a new one.

# A gap that stays open so long is left to the next begin, so that raising stays cheap.
MAX_WINDOWS = 8

COUNT_CHATS = """
SELECT COUNT(*) FROM chats WHERE application_id = %s AND number > %s AND number <= %s
"""
COUNT_MESSAGES = """
SELECT COUNT(*) FROM messages WHERE chat_id = %s AND number > %s AND number <= %s
"""


def advance_messages_floor(cursor: Cursor, chat: LockedChat, window: int) -> None:
    """Move the floor of a chat up to a window below its last message, if nothing is missing."""
    top = chat.last_message_number - window
    if _whole(cursor, COUNT_MESSAGES, chat.id, chat.messages_floor, top, window):
        chat.messages_floor = top


def advance_chats_floor(
    cursor: Cursor, application: LockedApplication, last: int, window: int
) -> None:
    """The same for an application, whose chats go up to `last`."""
    top = last - window
    if _whole(cursor, COUNT_CHATS, application.id, application.chats_floor, top, window):
        application.chats_floor = top


def _whole(cursor: Cursor, sql: str, parent_id: int, floor: int, top: int, window: int) -> bool:
    """Whether every number above `floor`, up to `top`, has a row; False where it costs too much."""
    if not 0 < top - floor <= MAX_WINDOWS * window:
        return False
    cursor.execute(sql, (parent_id, floor, top))
    return bool(cursor.fetchall() == ((top - floor,),))
