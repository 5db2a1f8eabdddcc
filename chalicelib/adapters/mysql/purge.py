"""Remove what was deleted, some rows at a time.

A deleted chat keeps its row, so that its number stays taken and late records find it deleted. A
deleted application goes whole: records for an application that is not there are dropped.
"""

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.rows import (
    LockedApplication,
    LockedChat,
    lock_applications,
    lock_chats,
)
from chalicelib.adapters.mysql.topic import Topic
from chalicelib.adapters.mysql.values import marks, time_in

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
CHATS_OF = "SELECT id FROM chats WHERE application_id IN ({marks}) LIMIT %s"
HAS_CHATS = "SELECT 1 FROM chats WHERE application_id = %s LIMIT 1"
DELETE_MESSAGES = "DELETE FROM messages WHERE chat_id = %s ORDER BY number LIMIT %s"
DELETE_CHAT = "DELETE FROM chats WHERE id = %s"
DELETE_APPLICATION = "DELETE FROM applications WHERE id = %s"
FORGET_SKIPPED = "DELETE FROM skipped_numbers WHERE application_id = %s AND chat_id = %s"
FORGET_ALL_SKIPPED = "DELETE FROM skipped_numbers WHERE application_id = %s"
MARK = "UPDATE chats SET purged_at = UTC_TIMESTAMP(3) WHERE id = %s"

Gone = tuple[str, int | None]


class Purge(Topic):
    """The port's `purge`."""

    def purge(self, before: str, rows: int) -> list[Gone]:
        return self._database.transact(lambda cursor: _Run(cursor, before, rows).run())


class _Run:
    """One transaction that removes up to `rows` rows."""

    def __init__(self, cursor: Cursor, before: str, rows: int) -> None:
        self._cursor = cursor
        self._before = str(time_in(before))
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
            if self._empty(chat) and self._finish_chat(chat, chat.application_id in applications):
                gone.append((tokens[chat.id], chat.number))
        for application in applications.values():
            if self._finish_application(application):
                gone.append((application.token, None))
        return gone

    def _chats_of(self, application_ids: list[int]) -> list[int]:
        if not application_ids:
            return []
        sql = CHATS_OF.format(marks=marks(application_ids))
        self._cursor.execute(sql, (*application_ids, PARENTS_AT_ONCE))
        return [id_ for (id_,) in self._cursor.fetchall()]

    def _empty(self, chat: LockedChat) -> bool:
        """Remove messages; True where the chat is known to have none any more."""
        if self._rows_left > 0:
            args = (chat.id, self._rows_left)
            self._rows_left -= self._cursor.execute(DELETE_MESSAGES, args)
        return self._rows_left > 0

    def _finish_chat(self, chat: LockedChat, with_application: bool) -> bool:
        """Remove an empty chat, or leave its row as a mark; True where it is to be told of."""
        if with_application:
            self._rows_left -= self._cursor.execute(DELETE_CHAT, (chat.id,))
            return False
        if chat.deleted_at is None or chat.deleted_at >= self._before:
            return False
        self._cursor.execute(FORGET_SKIPPED, (chat.application_id, chat.id))
        self._cursor.execute(MARK, (chat.id,))
        return True

    def _finish_application(self, application: LockedApplication) -> bool:
        """Remove an application that holds nothing any more, once no late records can come."""
        if application.deleted_at is None or application.deleted_at >= self._before:
            return False
        if self._cursor.execute(HAS_CHATS, (application.id,)):
            return False
        self._cursor.execute(FORGET_ALL_SKIPPED, (application.id,))
        self._cursor.execute(DELETE_APPLICATION, (application.id,))
        return True
