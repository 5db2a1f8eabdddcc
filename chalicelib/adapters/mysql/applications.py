"""Applications, and the stored responses of the requests that change them.

These requests are rare, so they write to MySQL at once and use no queue. The response of a request with an
Idempotency-Key is stored in the transaction of its change.
"""

import hashlib

import msgspec
import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.database import (
    LOCK_WAIT_TIMEOUT,
    Database,
    Row,
    errno_of,
    from_db_time,
    from_db_time_not_null,
    to_db_time,
)
from chalicelib.domain.errors import InProgressError, KeyReusedError
from chalicelib.domain.idempotency import IdempotentWrite
from chalicelib.domain.limits import IDEMPOTENCY_KEY_LIFETIME_SECONDS
from chalicelib.domain.models import Application, AppToken, ListedApplication, Timestamp
from chalicelib.domain.paging import ApplicationCursor
from chalicelib.domain.times import rfc3339

GET_RESPONSE = """
SELECT fingerprint, answer FROM idempotency_marks
WHERE scope = %s AND key_hash = %s AND `at` >= %s
"""
DELETE_OLD_RESPONSE = (
    "DELETE FROM idempotency_marks WHERE scope = %s AND key_hash = %s AND `at` < %s"
)
INSERT_RESPONSE = """
INSERT IGNORE INTO idempotency_marks (scope, key_hash, `at`, fingerprint, answer)
VALUES (%s, %s, %s, %s, %s)
"""
DELETE_OLD_RESPONSES = "DELETE FROM idempotency_marks WHERE `at` < %s ORDER BY `at` LIMIT %s"

COLUMNS = "token, name, chats_count, created_at, key_version, previous_key_until, deleted_at"
INSERT = "INSERT INTO applications (token, name, created_at) VALUES (%s, %s, %s)"
RENAME = "UPDATE applications SET name = %s WHERE token = %s AND deleted_at IS NULL"
ROTATE = """
UPDATE applications SET key_version = key_version + 1, previous_key_until = %s
WHERE token = %s AND key_version = %s AND deleted_at IS NULL
"""
DELETE = "UPDATE applications SET deleted_at = %s WHERE token = %s AND deleted_at IS NULL"
GET = f"SELECT {COLUMNS} FROM applications WHERE token = %s AND deleted_at IS NULL"
# The index is forced: otherwise a server may sort all applications.
LIST = f"""
SELECT {COLUMNS} FROM applications FORCE INDEX (applications_by_age) WHERE deleted_at IS NULL
ORDER BY created_at DESC, token DESC LIMIT %s
"""
LIST_BEFORE = f"""
SELECT {COLUMNS} FROM applications FORCE INDEX (applications_by_age)
WHERE deleted_at IS NULL AND created_at <= %s AND (created_at < %s OR token < %s)
ORDER BY created_at DESC, token DESC LIMIT %s
"""
TOKENS = """
SELECT id, token FROM applications WHERE deleted_at IS NULL AND id > %s ORDER BY id LIMIT %s
"""


class MySqlApplications:
    """Creates, reads, renames and deletes applications, and rotates their keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_application(
        self,
        token: AppToken,
        name: str,
        created_at: Timestamp,
        idempotency: IdempotentWrite | None = None,
    ) -> Application:
        def work(cursor: Cursor) -> Application:
            cursor.execute(INSERT, (token, name, to_db_time(created_at)))
            cursor.execute(GET, (token,))
            created = _application(cursor.fetchall()[0])
            store_response(cursor, idempotency, msgspec.json.encode(created))
            return created

        return self._database.transact(work)

    def get_application(self, token: AppToken) -> Application | None:
        rows = self._database.read(GET, (token,))
        return _application(rows[0]) if rows else None

    def list_applications(self, before: ApplicationCursor | None, limit: int) -> list[Application]:
        if before is None:
            rows = self._database.read(LIST, (limit,))
        else:
            created_at = to_db_time(before.created_at)
            rows = self._database.read(LIST_BEFORE, (created_at, created_at, before.token, limit))
        return [_application(row) for row in rows]

    def rename_application(
        self, token: AppToken, name: str, idempotency: IdempotentWrite | None = None
    ) -> Application | None:
        def work(cursor: Cursor) -> Application | None:
            cursor.execute(RENAME, (name, token))
            cursor.execute(GET, (token,))
            rows = cursor.fetchall()
            if not rows:
                return None
            renamed = _application(rows[0])
            store_response(cursor, idempotency, msgspec.json.encode(renamed))
            return renamed

        return self._database.transact(work)

    def rotate_key(
        self,
        token: AppToken,
        version: int,
        previous_until: Timestamp | None,
        idempotency: IdempotentWrite | None = None,
    ) -> Application | None:
        def work(cursor: Cursor) -> Application | None:
            if cursor.execute(ROTATE, (to_db_time(previous_until), token, version)) == 0:
                return None
            cursor.execute(GET, (token,))
            rotated = _application(cursor.fetchall()[0])
            store_response(cursor, idempotency, msgspec.json.encode(rotated))
            return rotated

        return self._database.transact(work)

    def delete_application(
        self, token: AppToken, at: Timestamp, idempotency: IdempotentWrite | None = None
    ) -> bool:
        def work(cursor: Cursor) -> bool:
            if not cursor.execute(DELETE, (to_db_time(at), token)):
                return False
            store_response(cursor, idempotency, b"")
            return True

        return self._database.transact(work)

    def list_tokens(self, after: int, limit: int) -> list[ListedApplication]:
        return [ListedApplication(*row) for row in self._database.read(TOKENS, (after, limit))]

    def find_response(self, idempotency: IdempotentWrite) -> bytes | None:
        rows = self._database.read(GET_RESPONSE, (*_key(idempotency), _oldest(idempotency)))
        if not rows:
            return None
        fingerprint, response = rows[0]
        if fingerprint != idempotency.key.fingerprint:
            raise KeyReusedError("the Idempotency-Key was used for another request")
        return str(response).encode()

    def delete_responses(self, before: Timestamp, rows: int) -> int:
        return self._database.transact(
            lambda cursor: cursor.execute(DELETE_OLD_RESPONSES, (to_db_time(before), rows))
        )


def store_response(cursor: Cursor, idempotency: IdempotentWrite | None, response: bytes) -> None:
    """Store the response to a change, in the transaction of that change.

    Raises `InProgressError` if another request with the key is under way, or ended only now: the caller
    found no stored response before.
    """
    if idempotency is None:
        return
    try:
        cursor.execute(DELETE_OLD_RESPONSE, (*_key(idempotency), _oldest(idempotency)))
        values = (
            *_key(idempotency),
            to_db_time(rfc3339(idempotency.now_ms)),
            idempotency.key.fingerprint,
            response.decode(),
        )
        is_first = cursor.execute(INSERT_RESPONSE, values)
    except pymysql.OperationalError as error:
        if errno_of(error) != LOCK_WAIT_TIMEOUT:
            raise
        is_first = 0
    if not is_first:
        raise InProgressError("a request with this Idempotency-Key is under way")


def _key(idempotency: IdempotentWrite) -> tuple[str, str]:
    return idempotency.scope, hashlib.sha256(idempotency.key.key.encode()).hexdigest()


def _oldest(idempotency: IdempotentWrite) -> str | None:
    return to_db_time(rfc3339(idempotency.now_ms - IDEMPOTENCY_KEY_LIFETIME_SECONDS * 1000))


def _application(row: Row) -> Application:
    token, name, chats_count, created_at, key_version, previous_key_until, deleted_at = row
    return Application(
        token=token,
        name=name,
        chats_count=chats_count,
        created_at=from_db_time_not_null(created_at),
        key_version=key_version,
        previous_key_until=from_db_time(previous_key_until),
        deleted_at=from_db_time(deleted_at),
    )
