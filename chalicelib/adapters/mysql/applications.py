"""Applications: they are rare, and go straight to MySQL."""

import msgspec
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.answers import keep_answer
from chalicelib.adapters.mysql.connection import Row
from chalicelib.adapters.mysql.topic import Topic
from chalicelib.adapters.mysql.values import moment_out, time_in, time_out
from chalicelib.domain.numbering import Once
from chalicelib.domain.records import Application

COLUMNS = "token, name, chats_count, created_at, key_version, previous_key_until, deleted_at"
INSERT = "INSERT INTO applications (token, name, created_at) VALUES (%s, %s, %s)"
RENAME = "UPDATE applications SET name = %s WHERE token = %s AND deleted_at IS NULL"
ROTATE = """
UPDATE applications SET key_version = key_version + 1, previous_key_until = %s
WHERE token = %s AND key_version = %s AND deleted_at IS NULL
"""
DELETE = "UPDATE applications SET deleted_at = %s WHERE token = %s AND deleted_at IS NULL"
GET = f"SELECT {COLUMNS} FROM applications WHERE token = %s AND deleted_at IS NULL"
LIST = f"""
SELECT {COLUMNS} FROM applications WHERE deleted_at IS NULL ORDER BY id DESC LIMIT %s
"""
LIST_BEFORE = f"""
SELECT {COLUMNS} FROM applications
WHERE deleted_at IS NULL AND id < (SELECT id FROM applications WHERE token = %s)
ORDER BY id DESC LIMIT %s
"""
TOKENS = "SELECT token FROM applications WHERE deleted_at IS NULL ORDER BY id LIMIT %s"
TOKENS_AFTER = """
SELECT token FROM applications
WHERE deleted_at IS NULL AND id > (SELECT id FROM applications WHERE token = %s)
ORDER BY id LIMIT %s
"""


class Applications(Topic):
    """Create, read, rename, give a new key and mark as deleted."""

    def create_application(
        self, token: str, name: str, created_at: str, once: Once | None = None
    ) -> Application:
        def work(cursor: Cursor) -> Application:
            cursor.execute(INSERT, (token, name, time_in(created_at)))
            cursor.execute(GET, (token,))
            made = _application(cursor.fetchall()[0])
            keep_answer(cursor, once, msgspec.json.encode(made))
            return made

        return self._database.transact(work)

    def get_application(self, token: str) -> Application | None:
        rows = self._database.read(GET, (token,))
        return _application(rows[0]) if rows else None

    def list_applications(self, before: str | None, limit: int) -> list[Application]:
        if before is None:
            rows = self._database.read(LIST, (limit,))
        else:
            rows = self._database.read(LIST_BEFORE, (before, limit))
        return [_application(row) for row in rows]

    def rename_application(
        self, token: str, name: str, once: Once | None = None
    ) -> Application | None:
        def work(cursor: Cursor) -> Application | None:
            cursor.execute(RENAME, (name, token))
            cursor.execute(GET, (token,))
            rows = cursor.fetchall()
            if not rows:
                return None
            renamed = _application(rows[0])
            keep_answer(cursor, once, msgspec.json.encode(renamed))
            return renamed

        return self._database.transact(work)

    def rotate_key(
        self, token: str, version: int, previous_until: str | None, once: Once | None = None
    ) -> Application | None:
        def work(cursor: Cursor) -> Application | None:
            if cursor.execute(ROTATE, (time_in(previous_until), token, version)) == 0:
                return None
            cursor.execute(GET, (token,))
            rotated = _application(cursor.fetchall()[0])
            keep_answer(cursor, once, msgspec.json.encode(rotated))
            return rotated

        return self._database.transact(work)

    def delete_application(self, token: str, at: str, once: Once | None = None) -> bool:
        def work(cursor: Cursor) -> bool:
            if not cursor.execute(DELETE, (time_in(at), token)):
                return False
            keep_answer(cursor, once, b"")
            return True

        return self._database.transact(work)

    def list_tokens(self, after: str | None, limit: int) -> list[str]:
        if after is None:
            rows = self._database.read(TOKENS, (limit,))
        else:
            rows = self._database.read(TOKENS_AFTER, (after, limit))
        return [token for (token,) in rows]


def _application(row: Row) -> Application:
    token, name, chats_count, created_at, key_version, previous_key_until, deleted_at = row
    return Application(
        token=token,
        name=name,
        chats_count=chats_count,
        created_at=moment_out(created_at),
        key_version=key_version,
        previous_key_until=time_out(previous_key_until),
        deleted_at=time_out(deleted_at),
    )
