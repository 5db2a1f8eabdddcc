"""Remove what was deleted, a limited number of rows at a time.

The row of a deleted chat stays, so that its number stays taken and late records find it deleted. A deleted
application is removed completely: records for an application without a row are dropped.

No document stays in the index: `purge_deleted` returns a purged chat or application again until
`confirm_purged` says that the index has removed it.
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
from chalicelib.domain.models import PurgedItem, Timestamp

MAX_PARENTS = 100

# Only those with work left: rows that are empty and wait for `before` must not delay the others.
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
DELETE_DELETED_MESSAGES = "DELETE FROM deleted_messages WHERE chat_id = %s ORDER BY number LIMIT %s"
DELETE_READ_MARKERS = """
DELETE FROM readers WHERE application_id = %s AND chat = %s ORDER BY user LIMIT %s
"""
DELETE_CHAT = "DELETE FROM chats WHERE id = %s"
DELETE_SKIPPED_OF_CHAT = """
DELETE s FROM skipped_numbers s JOIN chats c ON c.id = s.chat_id
JOIN applications a ON a.id = c.application_id
WHERE a.token = %s AND c.number = %s AND c.deleted_at IS NOT NULL
"""
SET_CHAT_PURGED = """
UPDATE chats c JOIN applications a ON a.id = c.application_id
SET c.purged_at = UTC_TIMESTAMP(3)
WHERE a.token = %s AND c.number = %s AND c.deleted_at IS NOT NULL
"""
DELETE_SKIPPED_OF_APPLICATION = """
DELETE s FROM skipped_numbers s JOIN applications a ON a.id = s.application_id
WHERE a.token = %s AND a.deleted_at IS NOT NULL
"""
# The read markers in chats that never got a row.
DELETE_OTHER_READ_MARKERS = """
DELETE r FROM readers r JOIN applications a ON a.id = r.application_id
WHERE a.token = %s AND a.deleted_at IS NOT NULL
"""
DELETE_APPLICATION = "DELETE FROM applications WHERE token = %s AND deleted_at IS NOT NULL"


class MySqlPurge:
    """Removes deleted chats and applications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def purge_deleted(self, before: Timestamp, rows: int) -> list[PurgedItem]:
        return self._database.transact(lambda cursor: _PurgeRun(cursor, before, rows).run())

    def confirm_purged(self, purged: Iterable[PurgedItem]) -> None:
        items = list(purged)

        def work(cursor: Cursor) -> None:
            for token, chat in items:
                if chat is None:
                    cursor.execute(DELETE_SKIPPED_OF_APPLICATION, (token,))
                    cursor.execute(DELETE_OTHER_READ_MARKERS, (token,))
                    cursor.execute(DELETE_APPLICATION, (token,))
                else:
                    cursor.execute(DELETE_SKIPPED_OF_CHAT, (token, chat))
                    cursor.execute(SET_CHAT_PURGED, (token, chat))

        self._database.transact(work)


class _PurgeRun:
    """One transaction that removes up to `rows` rows."""

    def __init__(self, cursor: Cursor, before: str, rows: int) -> None:
        self._cursor = cursor
        self._before = str(to_db_time(before))
        self._rows_left = rows

    def run(self) -> list[PurgedItem]:
        self._cursor.execute(DELETED_APPLICATIONS, (self._before, MAX_PARENTS))
        ids = [id_ for (id_,) in self._cursor.fetchall()]
        applications = lock_applications(self._cursor, ids)
        self._cursor.execute(DELETED_CHATS, (self._before, MAX_PARENTS))
        tokens = dict(self._cursor.fetchall())
        chats = lock_chats(self._cursor, {*tokens, *self._chats_of(ids)})
        purged: list[PurgedItem] = []
        for chat in chats.values():
            with_application = chat.application_id in applications
            if self._remove_contents(chat) and self._finish(chat, with_application):
                purged.append(PurgedItem(tokens[chat.id], chat.number))
        for application in applications.values():
            if self._is_empty(application):
                purged.append(PurgedItem(application.token, None))
        return purged

    def _chats_of(self, application_ids: list[int]) -> list[int]:
        if not application_ids:
            return []
        sql = CHATS_OF.format(placeholders=placeholders(application_ids))
        self._cursor.execute(sql, (*application_ids, MAX_PARENTS))
        return [id_ for (id_,) in self._cursor.fetchall()]

    def _remove_contents(self, chat: LockedChat) -> bool:
        """Remove the rows of a chat while the budget lasts. True if certainly none is left."""
        statements: tuple[tuple[str, tuple[int, ...]], ...] = (
            (DELETE_MESSAGES, (chat.id,)),
            (DELETE_DELETED_MESSAGES, (chat.id,)),
            (DELETE_READ_MARKERS, (chat.application_id, chat.number)),
        )
        for sql, key in statements:
            if self._rows_left > 0:
                self._rows_left -= self._cursor.execute(sql, (*key, self._rows_left))
        return self._rows_left > 0

    def _finish(self, chat: LockedChat, with_application: bool) -> bool:
        """Remove an empty chat if its application is deleted. Otherwise True if no late record can come."""
        if with_application:
            self._rows_left -= self._cursor.execute(DELETE_CHAT, (chat.id,))
            return False
        return chat.deleted_at is not None and chat.deleted_at < self._before

    def _is_empty(self, application: LockedApplication) -> bool:
        """Whether a deleted application holds nothing any more, and no late record can arrive."""
        if application.deleted_at is None or application.deleted_at >= self._before:
            return False
        return not self._cursor.execute(HAS_CHATS, (application.id,))
