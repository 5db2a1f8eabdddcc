"""Rows of applications and chats as the writers see them: found without locks, then locked in order.

The order in which rows are locked is the same everywhere, so that nothing deadlocks:
applications by id, then chats by id, then what hangs on a chat. A chat's row is only ever inserted
under its application's lock: two writers never meet in the gaps of the unique index, and an
application that was seen deleted under its lock gets no more chats. `messages` and
`skipped_numbers` of a chat are only written under the chat's lock.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import batched

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.connection import Row
from chalicelib.adapters.mysql.values import marks
from chalicelib.domain.records import Lease

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
SELECT token, id FROM applications WHERE deleted_at IS NULL AND token IN ({marks})
"""
FIND_CHATS = "SELECT application_id, number, id FROM chats WHERE {ranges}"

# The index is forced because a scan of the table would lock (and wait for) rows of others.
LOCK_APPLICATIONS = f"""
SELECT {", ".join(LockedApplication.__struct_fields__)}
FROM applications FORCE INDEX (PRIMARY) WHERE id IN ({{marks}}) ORDER BY id FOR UPDATE
"""
LOCK_CHATS = f"""
SELECT {", ".join(LockedChat.__struct_fields__)}
FROM chats FORCE INDEX (PRIMARY) WHERE id IN ({{marks}}) ORDER BY id FOR UPDATE
"""


def find_applications(cursor: Cursor, tokens: Collection[str]) -> dict[str, int]:
    """Ids of the applications that are there and not deleted."""
    if not tokens:
        return {}
    cursor.execute(FIND_APPLICATIONS.format(marks=marks(tokens)), tuple(tokens))
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
        f"({parent} = %s AND number IN ({marks(wanted)}))" for wanted in numbers.values()
    )
    return ranges, tuple(arg for key, wanted in numbers.items() for arg in (key, *wanted))


def _lock(cursor: Cursor, sql: str, ids: Iterable[int]) -> Iterator[Row]:
    for some in batched(sorted(ids), AT_ONCE):
        cursor.execute(sql.format(marks=marks(some)), some)
        yield from cursor.fetchall()
