"""Remove what was deleted, some rows at a time.

A deleted chat keeps its row, so that its number stays taken and late records find it deleted. A
deleted application goes whole: records for an application that is not there are dropped. What is
empty is told of until `forget` says that the index was told, so that no document is left behind.
"""

from collections.abc import Iterable

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, placeholders, to_db_time
from chalicelib.adapters.mysql.locking import (
    LockedApplication,
    LockedChat,
    lock_applications,
    lock_chats,
)

PARENTS_AT_ONCE = 100

# Only where there is something to do: what waits empty for `before` must not hold up the rest.
DELETED_APPLICATIONS = """
SELECT a.id FROM applications a
WHERE a.deleted_at IS NOT NULL
  AND (a.deleted_at < %s OR EXISTS (SELECT 1 FROM chats c WHERE c.application_id = a.id))
ORDER BY a.deleted_at LIMIT %s
"""
DELETED_CHATS = """
SELECT c.id, a.token FROM chats c JOIN applications a ON a.id = c.application_id
WHERE c.purged_at IS NULL AND c.deleted_at IS NOT NULL AND a.deleted_at IS NULL
  AND (c.deleted_at < %s OR EXISTS (SELECT 1 FROM messages m WHERE m.chat_id = c.id))
ORDER BY c.deleted_at LIMIT %s
"""
CHATS_OF = "SELECT id FROM chats WHERE application_id IN ({placeholders}) LIMIT %s"
HAS_CHATS = "SELECT 1 FROM chats WHERE application_id = %s LIMIT 1"
DELETE_MESSAGES = "DELETE FROM messages WHERE chat_id = %s ORDER BY number LIMIT %s"
DELETE_MARKS = "DELETE FROM deleted_messages WHERE chat_id = %s ORDER BY number LIMIT %s"
DELETE_READERS = """
DELETE FROM readers WHERE application_id = %s AND chat = %s ORDER BY user LIMIT %s
"""
DELETE_CHAT = "DELETE FROM chats WHERE id = %s"
FORGET_CHAT = """
DELETE s FROM skipped_numbers s JOIN chats c ON c.id = s.chat_id
JOIN applications a ON a.id = c.application_id
WHERE a.token = %s AND c.number = %s AND c.deleted_at IS NOT NULL
"""
MARK_CHAT = """
UPDATE chats c JOIN applications a ON a.id = c.application_id
SET c.purged_at = UTC_TIMESTAMP(3)
WHERE a.token = %s AND c.number = %s AND c.deleted_at IS NOT NULL
"""
FORGET_APPLICATION = """
DELETE s FROM skipped_numbers s JOIN applications a ON a.id = s.application_id
WHERE a.token = %s AND a.deleted_at IS NOT NULL
"""
# Those of chats that never got a row.
FORGET_READERS = """
DELETE r FROM readers r JOIN applications a ON a.id = r.application_id
WHERE a.token = %s AND a.deleted_at IS NOT NULL
"""
DELETE_APPLICATION = "DELETE FROM applications WHERE token = %s AND deleted_at IS NOT NULL"

Gone = tuple[str, int | None]


class MySqlPurge:
    """The port's `purge` and `forget`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def purge_deleted(self, before: str, rows: int) -> list[Gone]:
        return self._database.transact(lambda cursor: _Run(cursor, before, rows).run())

    def confirm_purged(self, purged: Iterable[Gone]) -> None:
        names = list(purged)

        def work(cursor: Cursor) -> None:
            for token, chat in names:
                if chat is None:
                    cursor.execute(FORGET_APPLICATION, (token,))
                    cursor.execute(FORGET_READERS, (token,))
                    cursor.execute(DELETE_APPLICATION, (token,))
                else:
                    cursor.execute(FORGET_CHAT, (token, chat))
                    cursor.execute(MARK_CHAT, (token, chat))

        self._database.transact(work)


class _Run:
    """One transaction that removes up to `rows` rows."""

    def __init__(self, cursor: Cursor, before: str, rows: int) -> None:
        self._cursor = cursor
        self._before = str(to_db_time(before))
        self._rows_left = rows

    def run(self) -> list[Gone]:
        self._cursor.execute(DELETED_APPLICATIONS, (self._before, PARENTS_AT_ONCE))
        ids = [id_ for (id_,) in self._cursor.fetchall()]
        applications = lock_applications(self._cursor, ids)
        self._cursor.execute(DELETED_CHATS, (self._before, PARENTS_AT_ONCE))
        tokens = dict(self._cursor.fetchall())
        chats = lock_chats(self._cursor, {*tokens, *self._chats_of(ids)})
        gone: list[Gone] = []
        for chat in chats.values():
            if self._empty(chat) and self._finish(chat, chat.application_id in applications):
                gone.append((tokens[chat.id], chat.number))
        for application in applications.values():
            if self._is_gone(application):
                gone.append((application.token, None))
        return gone

    def _chats_of(self, application_ids: list[int]) -> list[int]:
        if not application_ids:
            return []
        sql = CHATS_OF.format(placeholders=placeholders(application_ids))
        self._cursor.execute(sql, (*application_ids, PARENTS_AT_ONCE))
        return [id_ for (id_,) in self._cursor.fetchall()]

    def _empty(self, chat: LockedChat) -> bool:
        """Remove what hangs on it; True where it is known that nothing does any more."""
        parts: tuple[tuple[str, tuple[int, ...]], ...] = (
            (DELETE_MESSAGES, (chat.id,)),
            (DELETE_MARKS, (chat.id,)),
            (DELETE_READERS, (chat.application_id, chat.number)),
        )
        for sql, key in parts:
            if self._rows_left > 0:
                self._rows_left -= self._cursor.execute(sql, (*key, self._rows_left))
        return self._rows_left > 0

    def _finish(self, chat: LockedChat, with_application: bool) -> bool:
        """Remove an empty chat of a deleted application; True where one is to be told of."""
        if with_application:
            self._rows_left -= self._cursor.execute(DELETE_CHAT, (chat.id,))
            return False
        return chat.deleted_at is not None and chat.deleted_at < self._before

    def _is_gone(self, application: LockedApplication) -> bool:
        """Whether it holds nothing any more, and no late records can come."""
        if application.deleted_at is None or application.deleted_at >= self._before:
            return False
        return not self._cursor.execute(HAS_CHATS, (application.id,))
