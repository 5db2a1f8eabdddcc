"""Compare the cached counts of an application with its rows, and set them right where asked to.

Counts change in the transaction of the rows they count, so a difference is a bug or a hand that
wrote into the tables. Each row is counted, and repaired under its lock, in a transaction of its own.
"""

from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import Database, Row
from chalicelib.adapters.mysql.locking import lock_applications, lock_chats

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
COUNTS = ("messages_count", "last_message_number", "deleted_messages")
REPAIR_APPLICATION = "UPDATE applications SET chats_count = %s WHERE id = %s"
REPAIR_CHAT = "UPDATE chats SET messages_count = %s, last_message_number = %s WHERE id = %s"
REPAIR_MARKS = (
    "DELETE FROM deleted_messages WHERE chat_id = %s",
    """
    INSERT INTO deleted_messages (chat_id, number)
    SELECT chat_id, number FROM messages WHERE chat_id = %s AND deleted_at IS NOT NULL
    """,
)

# Chat number (None: the application), column, what it said, what the rows say.
Difference = tuple[int | None, str, int, int]


class Recount:
    """For the operator; no request needs it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recount(self, token: str, repair: bool = False) -> list[Difference]:
        """What the cached counts of an application and its chats say wrongly, until now."""
        found = self._database.read(FIND, (token,))
        differences: list[Difference] = []
        for (application_id,) in found:
            differences += self._application(application_id, repair)
            for (chat_id,) in self._database.read(CHAT_IDS, (application_id,)):
                differences += self._chat(chat_id, repair)
        return differences

    def _application(self, application_id: int, repair: bool) -> list[Difference]:
        def work(cursor: Cursor) -> list[Difference]:
            if repair:
                lock_applications(cursor, [application_id])
            rows = _rows(cursor, COUNT_CHATS, application_id)
            wrong = [(cached, counted) for cached, counted in rows if cached != counted]
            if repair:
                cursor.executemany(REPAIR_APPLICATION, [(n, application_id) for _, n in wrong])
            return [(None, "chats_count", cached, counted) for cached, counted in wrong]

        return self._database.transact(work)

    def _chat(self, chat_id: int, repair: bool) -> list[Difference]:
        def work(cursor: Cursor) -> list[Difference]:
            if repair:
                lock_chats(cursor, [chat_id])
            differences: list[Difference] = []
            for number, *said, counted, last, deleted in _rows(cursor, COUNT_MESSAGES, chat_id):
                differences += [
                    (number, *difference)
                    for difference in zip(COUNTS, said, (counted, last, deleted), strict=True)
                    if difference[1] != difference[2]
                ]
                if differences and repair:
                    cursor.execute(REPAIR_CHAT, (counted, last, chat_id))
                    for statement in REPAIR_MARKS:
                        cursor.execute(statement, (chat_id,))
            return differences

        return self._database.transact(work)


def _rows(cursor: Cursor, sql: str, id_: int) -> list[Row]:
    cursor.execute(sql, (id_,))
    return list(cursor.fetchall())
