"""Remove what was deleted, in steps that are short for MySQL and that nobody waits for.

The row of a deleted chat stays, so that its number stays taken and late records find it deleted. A deleted
application is removed completely: records for an application without a row are dropped.

Contents are removed without a lock on their chat. A plain read shows that the chat was deleted long ago, a
deletion is final, and workers write below a chat only while it is not deleted. So nothing can be added any
more, and a worker that has a late record of the chat does not wait for the purge. Rows of chats are locked
only if nobody else holds them (`SKIP LOCKED`), for one short statement.

No document stays in the index: `remove_rows` returns an emptied chat or application again until
`confirm_purged` says that the index has removed it.
"""

from collections.abc import Sequence
from functools import partial
from itertools import takewhile

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, placeholders, to_db_time
from chalicelib.adapters.mysql.locking import ChatKey, find_chats
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    ListedApplication,
    ListedPage,
    PurgedItem,
    PurgeStep,
    Timestamp,
)

# How many applications one statement of `list_purgeable` reads, and how many chats a step works on.
MAX_APPLICATIONS = 10_000
MAX_CHATS = 100
# What a transaction removes: bodies, and rows of narrow tables.
MAX_BYTES = 5_000_000
MAX_NARROW_ROWS = 2_000

LAST_OF_PAGE = "SELECT id FROM applications WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s"
LAST_OF_ALL = "SELECT MAX(id) FROM applications"
# For each application, this is one look into an index.
PURGEABLE = """
SELECT a.id, a.token FROM applications a
WHERE a.id > %s AND a.id <= %s AND (a.deleted_at < %s OR (a.deleted_at IS NULL AND EXISTS (
  SELECT 1 FROM chats c FORCE INDEX (chats_deleted)
  WHERE c.application_id = a.id AND c.purged_at IS NULL AND c.deleted_at < %s)))
ORDER BY a.id
"""
FIND_APPLICATION = "SELECT id, deleted_at < %s FROM applications WHERE token = %s"
DELETED_CHATS = """
SELECT id, number FROM chats FORCE INDEX (chats_deleted)
WHERE application_id = %s AND purged_at IS NULL AND deleted_at < %s
ORDER BY deleted_at LIMIT %s
"""
CHATS_OF_DELETED = "SELECT id, number FROM chats WHERE application_id = %s ORDER BY number LIMIT %s"

# The index is forced: a scan of the table would lock the rows of other tenants, and wait for them. A DELETE
# of one table takes no such hint, so it is written as a DELETE of several.
FIRST_MESSAGES = """
SELECT chat_id, number, LENGTH(body) FROM messages FORCE INDEX (PRIMARY)
WHERE chat_id IN ({placeholders}) ORDER BY chat_id, number LIMIT %s
"""
FIRST_DELETED_MESSAGES = """
SELECT chat_id, number, 0 FROM deleted_messages FORCE INDEX (PRIMARY)
WHERE chat_id IN ({placeholders}) ORDER BY chat_id, number LIMIT %s
"""
DELETE_UP_TO = """
DELETE m FROM {table} AS m FORCE INDEX (PRIMARY)
WHERE m.chat_id IN ({placeholders}) OR (m.chat_id = %s AND m.number <= %s)
"""
FIRST_READ_MARKERS = """
SELECT chat FROM readers FORCE INDEX (readers_of_chat)
WHERE application_id = %s AND chat IN ({placeholders}) ORDER BY chat LIMIT %s
"""
DELETE_READ_MARKERS = """
DELETE FROM readers WHERE application_id = %s AND chat = %s ORDER BY user LIMIT %s
"""
# The read markers in chats that never got a row.
DELETE_OTHER_READ_MARKERS = """
DELETE FROM readers WHERE application_id = %s ORDER BY user, chat LIMIT %s
"""
DELETE_SKIPPED_OF_CHATS = """
DELETE s FROM skipped_numbers AS s FORCE INDEX (skipped_of_parent)
WHERE s.application_id = %s AND s.chat_id IN ({placeholders})
"""
DELETE_OTHER_SKIPPED = """
DELETE FROM skipped_numbers WHERE application_id = %s ORDER BY chat_id, `first` LIMIT %s
"""
LOCK_FREE_CHATS = """
SELECT id FROM chats FORCE INDEX (PRIMARY) WHERE id IN ({placeholders})
ORDER BY id FOR UPDATE SKIP LOCKED
"""
HAS_MESSAGES = """
SELECT 1 FROM messages FORCE INDEX (PRIMARY) WHERE chat_id IN ({placeholders}) LIMIT 1
"""
DELETE_CHATS = "DELETE c FROM chats AS c FORCE INDEX (PRIMARY) WHERE c.id IN ({placeholders})"
SET_PURGED = """
UPDATE chats AS c FORCE INDEX (PRIMARY) SET c.purged_at = UTC_TIMESTAMP(3)
WHERE c.id IN ({placeholders}) AND c.deleted_at IS NOT NULL
"""
DELETE_APPLICATION = "DELETE FROM applications WHERE token = %s AND deleted_at IS NOT NULL"
FIND_ID = "SELECT id FROM applications WHERE token = %s"

Chats = dict[int, ChatNumber]  # number by id


class MySqlPurge:
    """Removes deleted chats and applications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_purgeable(self, after: int, before: Timestamp) -> ListedPage:
        page = self._database.read(LAST_OF_PAGE, (after, MAX_APPLICATIONS - 1))
        [(last,)] = page or self._database.read(LAST_OF_ALL)
        at = to_db_time(before)
        rows = self._database.read(PURGEABLE, (after, last or 0, at, at))
        return ListedPage([ListedApplication(*row) for row in rows], last or 0, is_end=not page)

    def remove_rows(self, token: AppToken, before: Timestamp, rows: int) -> PurgeStep:
        at = to_db_time(before)
        known = self._database.read(FIND_APPLICATION, (at, token))
        if not known:
            return PurgeStep([], is_done=True)
        application_id, is_deleted = known[0]
        if is_deleted:
            chats = self._database.read(CHATS_OF_DELETED, (application_id, MAX_CHATS))
        else:
            chats = self._database.read(DELETED_CHATS, (application_id, at, MAX_CHATS))
        empty = self._empty(application_id, dict(chats), rows)
        is_done = len(empty) == len(chats) < MAX_CHATS
        if not is_deleted:
            return PurgeStep([PurgedItem(token, number) for number in empty.values()], is_done)
        if empty:
            self._database.transact(lambda cursor: _delete_chats(cursor, application_id, empty))
            return PurgeStep([], is_done=False)
        if not chats and self._remove_others(application_id):
            return PurgeStep([PurgedItem(token, None)], is_done=True)
        return PurgeStep([], is_done=False)

    def confirm_purged(self, purged: Sequence[PurgedItem]) -> None:
        numbers: dict[AppToken, list[ChatNumber]] = {}
        for token, chat in purged:
            if chat is None:
                self._delete(DELETE_APPLICATION, token)
            else:
                numbers.setdefault(token, []).append(chat)
        for token, chats in numbers.items():
            self._set_purged(token, chats)

    def _delete(self, sql: str, *args: object) -> int:
        """Run one DELETE in its own transaction. Returns how many rows it removed."""
        return self._database.transact(lambda cursor: cursor.execute(sql, args))

    def _set_purged(self, token: AppToken, numbers: Sequence[ChatNumber]) -> None:
        for (application_id,) in self._database.read(FIND_ID, (token,)):
            keys = [(application_id, number) for number in numbers]
            self._database.transact(partial(_set_purged, keys=keys))

    def _empty(self, application_id: int, chats: Chats, rows: int) -> Chats:
        """Remove contents of these chats, up to the limits. Returns the chats that hold nothing any more."""
        empty = self._remove_first(FIRST_MESSAGES, "messages", chats, rows)
        empty = self._remove_first(
            FIRST_DELETED_MESSAGES, "deleted_messages", empty, MAX_NARROW_ROWS
        )
        return self._remove_read_markers(application_id, empty)

    def _remove_first(self, sql: str, table: str, chats: Chats, rows: int) -> Chats:
        """Remove the first rows of these chats, by chat and number. Returns the chats that have no others."""
        ids = sorted(chats)
        if not ids:
            return {}
        first = self._database.read(sql.format(placeholders=placeholders(ids)), (*ids, rows))
        taken = first[: _count_within_bytes([size for _, _, size in first])]
        if not taken:
            return chats
        last_id, last_number, _ = taken[-1]
        whole = sorted({id_ for id_, _, _ in taken} - {last_id}) or [0]
        delete = DELETE_UP_TO.format(table=table, placeholders=placeholders(whole))
        self._delete(delete, *whole, last_id, last_number)
        if len(taken) == len(first) < rows:
            return chats
        return {id_: chats[id_] for id_ in takewhile(lambda id_: id_ < last_id, ids)}

    def _remove_read_markers(self, application_id: int, chats: Chats) -> Chats:
        if not chats:
            return {}
        numbers = sorted(chats.values())
        sql = FIRST_READ_MARKERS.format(placeholders=placeholders(numbers))
        rows = self._database.read(sql, (application_id, *numbers, MAX_NARROW_ROWS))
        with_markers = sorted({number for (number,) in rows})

        def work(cursor: Cursor) -> None:
            for number in with_markers:
                cursor.execute(DELETE_READ_MARKERS, (application_id, number, MAX_NARROW_ROWS))

        if with_markers:
            self._database.transact(work)
        if len(rows) < MAX_NARROW_ROWS:
            return chats
        return {id_: number for id_, number in chats.items() if number < with_markers[-1]}

    def _remove_others(self, application_id: int) -> bool:
        """Remove what a deleted application has beside its chats. True if nothing is left."""
        statements = (DELETE_OTHER_READ_MARKERS, DELETE_OTHER_SKIPPED)
        removed = [self._delete(sql, application_id, MAX_NARROW_ROWS) for sql in statements]
        return max(removed) < MAX_NARROW_ROWS


def _count_within_bytes(sizes: Sequence[int]) -> int:
    """How many of the rows, at least one, are within the limit of a transaction."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > MAX_BYTES and count > 0:
            return count
    return len(sizes)


def _lock_free(cursor: Cursor, ids: Sequence[int]) -> list[int]:
    """Lock those of these chats that nobody else has locked."""
    if not ids:
        return []
    cursor.execute(LOCK_FREE_CHATS.format(placeholders=placeholders(ids)), tuple(ids))
    return [id_ for (id_,) in cursor.fetchall()]


def _delete_chats(cursor: Cursor, application_id: int, chats: Chats) -> None:
    """Remove the rows of empty chats of a deleted application. A chat that is not empty waits."""
    ids = _lock_free(cursor, sorted(chats))
    if not ids or cursor.execute(HAS_MESSAGES.format(placeholders=placeholders(ids)), ids):
        return
    _delete_skipped(cursor, application_id, ids)
    cursor.execute(DELETE_CHATS.format(placeholders=placeholders(ids)), ids)


def _set_purged(cursor: Cursor, keys: Sequence[ChatKey]) -> None:
    if ids := _lock_free(cursor, sorted(find_chats(cursor, keys).values())):
        _delete_skipped(cursor, keys[0][0], ids)
        cursor.execute(SET_PURGED.format(placeholders=placeholders(ids)), ids)


def _delete_skipped(cursor: Cursor, application_id: int, ids: Sequence[int]) -> None:
    sql = DELETE_SKIPPED_OF_CHATS.format(placeholders=placeholders(ids))
    cursor.execute(sql, (application_id, *ids))
