"""What requests were answered by their Idempotency-Key, where they go straight to MySQL."""

import hashlib

import pymysql
from pymysql.cursors import Cursor

from chalicelib.adapters.mysql.failures import LOCK_WAIT_TIMEOUT, errno_of
from chalicelib.adapters.mysql.topic import Topic
from chalicelib.adapters.mysql.values import time_in
from chalicelib.domain.errors import InProgressError, KeyReusedError
from chalicelib.domain.limits import IDEMPOTENCY_KEY_KEPT_SECONDS
from chalicelib.domain.numbering import Once
from chalicelib.domain.times import rfc3339

GET = """
SELECT fingerprint, answer FROM idempotency_marks
WHERE scope = %s AND key_hash = %s AND `at` >= %s
"""
DROP_OLD = "DELETE FROM idempotency_marks WHERE scope = %s AND key_hash = %s AND `at` < %s"
INSERT = """
INSERT IGNORE INTO idempotency_marks (scope, key_hash, `at`, fingerprint, answer)
VALUES (%s, %s, %s, %s, %s)
"""
DROP_ALL_OLD = "DELETE FROM idempotency_marks WHERE `at` < %s ORDER BY `at` LIMIT %s"


class Answers(Topic):
    """The port's `kept_answer` and `drop_answers`."""

    def kept_answer(self, once: Once) -> bytes | None:
        rows = self._database.read(GET, (*_key(once), _since(once)))
        if not rows:
            return None
        fingerprint, answer = rows[0]
        if fingerprint != once.mark.fingerprint:
            raise KeyReusedError("the Idempotency-Key was used for another request")
        return str(answer).encode()

    def drop_answers(self, before: str, rows: int) -> int:
        return self._database.transact(
            lambda cursor: cursor.execute(DROP_ALL_OLD, (time_in(before), rows))
        )


def keep_answer(cursor: Cursor, once: Once | None, answer: bytes) -> None:
    """Note in the transaction of a change what it is answered.

    Raises `InProgressError` where another request with the key was first: nothing was there when this
    one looked, so that one is still under way, or has just ended.
    """
    if once is None:
        return
    try:
        cursor.execute(DROP_OLD, (*_key(once), _since(once)))
        values = (
            *_key(once),
            time_in(rfc3339(once.now_ms)),
            once.mark.fingerprint,
            answer.decode(),
        )
        is_first = cursor.execute(INSERT, values)
    except pymysql.OperationalError as error:
        if errno_of(error) != LOCK_WAIT_TIMEOUT:
            raise
        is_first = 0
    if not is_first:
        raise InProgressError("a request with this Idempotency-Key is under way")


def _key(once: Once) -> tuple[str, str]:
    return once.scope, hashlib.sha256(once.mark.key.encode()).hexdigest()


def _since(once: Once) -> str | None:
    return time_in(rfc3339(once.now_ms - IDEMPOTENCY_KEY_KEPT_SECONDS * 1000))
