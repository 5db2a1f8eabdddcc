"""Compare the stored counts of applications and chats with the rows that they count, and correct them.

A count changes in the transaction of the rows that it counts, so a mismatch is a bug, or somebody wrote
into the tables by hand. Each row is counted, and corrected under its lock, in a transaction of its own.
"""

from collections.abc import Callable

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, Row
from chalicelib.adapters.mysql.locking import lock_applications, lock_chats
from chalicelib.adapters.mysql.store import MySqlStore
from chalicelib.domain.models import AppToken
from chalicelib.operators.scan import live_tokens

FIND = "SELECT id FROM applications WHERE token = %s AND deleted_at IS NULL"
CHAT_IDS = "SELECT id FROM chats WHERE application_id = %s AND deleted_at IS NULL ORDER BY id"
COUNT_CHATS = """
SELECT a.chats_count,
  (SELECT COUNT(*) FROM chats c WHERE c.application_id = a.id AND c.deleted_at IS NULL)
FROM applications a WHERE a.id = %s AND a.deleted_at IS NULL
"""
COUNT_MESSAGES = """
SELECT c.number, c.messages_count, c.last_message_number,
  (SELECT COUNT(*) FROM deleted_messages d WHERE d.chat_id = c.id),
  (SELECT COUNT(*) FROM messages m WHERE m.chat_id = c.id AND m.deleted_at IS NULL),
  (SELECT COALESCE(MAX(m.number), 0) FROM messages m WHERE m.chat_id = c.id),
  (SELECT COUNT(*) FROM messages m WHERE m.chat_id = c.id AND m.deleted_at IS NOT NULL)
FROM chats c WHERE c.id = %s AND c.deleted_at IS NULL
"""
COLUMNS = ("messages_count", "last_message_number", "deleted_messages")
REPAIR_APPLICATION = "UPDATE applications SET chats_count = %s WHERE id = %s"
REPAIR_CHAT = "UPDATE chats SET messages_count = %s, last_message_number = %s WHERE id = %s"
REPAIR_DELETED_MESSAGES = (
    "DELETE FROM deleted_messages WHERE chat_id = %s",
    """
    INSERT INTO deleted_messages (chat_id, number)
    SELECT chat_id, number FROM messages WHERE chat_id = %s AND deleted_at IS NOT NULL
    """,
)


class CountMismatch(msgspec.Struct, frozen=True):
    """A wrong count of a chat, or of the application if `chat` is None."""

    chat: int | None
    column: str
    stored: int
    counted: int

    def text(self, token: AppToken) -> str:
        """One line for the operator; `token` is that of the application."""
        owner = token if self.chat is None else f"{token} chat {self.chat}"
        return f"{owner}: {self.column} is {self.stored:,}, but the rows give {self.counted:,}"


class RecountResult(msgspec.Struct, frozen=True):
    """How many applications were counted, and how many counts were wrong."""

    applications: int
    wrong: int


def recount(
    store: MySqlStore,
    only: AppToken | None,
    repair: bool,
    on_mismatch: Callable[[AppToken, CountMismatch], None],
) -> RecountResult:
    """Count one application, or all. `on_mismatch` gets the token and each wrong count.

    Raises `UnavailableError`.
    """
    counts = Recount(store.database)
    applications = wrong = 0
    for token in live_tokens(store.applications.list_tokens, only):
        applications += 1
        for mismatch in counts.recount(token, repair):
            wrong += 1
            on_mismatch(token, mismatch)
    return RecountResult(applications, wrong)


class Recount:
    """The counts of one application at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recount(self, token: AppToken, repair: bool = False) -> list[CountMismatch]:
        """The counts of an application and of its chats that are wrong, or were before the repair."""
        applications = self._database.read(FIND, (token,))
        mismatches: list[CountMismatch] = []
        for (application_id,) in applications:
            mismatches += self._recount_application(application_id, repair)
            for (chat_id,) in self._database.read(CHAT_IDS, (application_id,)):
                mismatches += self._recount_chat(chat_id, repair)
        return mismatches

    def _recount_application(self, application_id: int, repair: bool) -> list[CountMismatch]:
        def work(cursor: Cursor) -> list[CountMismatch]:
            if repair:
                lock_applications(cursor, [application_id])
            rows = _rows(cursor, COUNT_CHATS, application_id)
            wrong = [(stored, counted) for stored, counted in rows if stored != counted]
            if repair:
                cursor.executemany(REPAIR_APPLICATION, [(n, application_id) for _, n in wrong])
            return [
                CountMismatch(None, "chats_count", stored, counted) for stored, counted in wrong
            ]

        return self._database.transact(work)

    def _recount_chat(self, chat_id: int, repair: bool) -> list[CountMismatch]:
        def work(cursor: Cursor) -> list[CountMismatch]:
            if repair:
                lock_chats(cursor, [chat_id])
            mismatches: list[CountMismatch] = []
            for number, *stored, counted, last, deleted in _rows(cursor, COUNT_MESSAGES, chat_id):
                mismatches += [
                    CountMismatch(number, column, stored_count, row_count)
                    for column, stored_count, row_count in zip(
                        COLUMNS, stored, (counted, last, deleted), strict=True
                    )
                    if stored_count != row_count
                ]
                if mismatches and repair:
                    cursor.execute(REPAIR_CHAT, (counted, last, chat_id))
                    for statement in REPAIR_DELETED_MESSAGES:
                        cursor.execute(statement, (chat_id,))
            return mismatches

        return self._database.transact(work)


def _rows(cursor: Cursor, sql: str, id_: int) -> list[Row]:
    cursor.execute(sql, (id_,))
    return list(cursor.fetchall())
