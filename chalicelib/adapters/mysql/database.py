"""Connections to MySQL, transactions that are retried, and the text forms of values.

A connection is opened when it is first needed, reused by later calls, and replaced when it is dead.

A transaction runs again only if nothing of it can have been committed: after a deadlock, after a lock wait
time-out, or if a reused connection turns out to be dead. If the connection is lost during COMMIT, nobody
knows whether the transaction was committed. The caller then gets `UnavailableError` and may retry, because
every write here may be repeated. Tests: `tests/contract/test_mysql.py`.
"""

import random
import threading
import time
from collections.abc import Callable, Collection, Sized
from enum import Enum, auto
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from pymysql.cursors import Cursor

from chalicelib.adapters.circuit import Circuit
from chalicelib.domain.errors import OutageError, PoisonError, UnavailableError
from chalicelib.domain.models import Metadata, Timestamp
from chalicelib.domain.number_ranges import NumberRange

FAILURES = (pymysql.Error, OSError, UnicodeEncodeError)


class ErrorClass(Enum):
    """What a caller can do about a failed statement."""

    LOST = (
        auto()
    )  # the connection is gone, and its open transaction rolled back: a new one may work
    BUSY = auto()  # another transaction was in the way: the same transaction may succeed now
    POISON = auto()  # the content can never be stored
    AWAY = auto()  # everything else: down, full, read-only, misconfigured, not migrated


_LOST = {
    0,  # PyMySQL: the connection was closed before
    1053,  # server shutdown in progress
    1927,  # MariaDB: connection was killed
    2006,  # server has gone away
    2013,  # lost connection during the query
    2055,  # lost connection, with the system's error
    3169,  # MySQL: session was killed
    4031,  # MySQL: disconnected for inactivity
}
_NOT_REACHED = 2003  # PyMySQL: no connection could be made
LOCK_WAIT_TIMEOUT = 1205
_BUSY = {
    1020,  # MariaDB: the record changed since it was read
    LOCK_WAIT_TIMEOUT,
    1213,  # deadlock
}
_POISON = {
    1048,  # column cannot be null
    1264,  # out of range
    1265,  # data truncated
    1292,  # not a date, or another wrong value
    1300,  # not a string of this character set
    1366,  # incorrect string value for the column's character set
    1406,  # too long for the column
    1644,  # SIGNAL in a trigger
    1690,  # arithmetic out of range
    3140,  # MySQL: not JSON
    3819,  # MySQL: check constraint
    3854,  # MySQL: cannot convert the string between character sets
    3988,  # MySQL: impossible to convert the string to the column's character set
    4025,  # MariaDB: check constraint
}
# The server refuses everybody. An error that is in no list may be the fault of one transaction.
_OUTAGE = {
    1021,  # disk full
    1036,  # table is read-only
    1040,  # too many connections
    1041,  # out of memory
    1044,  # access denied to the database
    1045,  # access denied
    1049,  # unknown database
    1054,  # unknown column: not migrated
    1114,  # table is full
    1129,  # host is blocked
    1142,  # command denied
    1146,  # no such table: not migrated
    1203,  # too many connections of the user
    1226,  # resource limit of the user
    1290,  # read-only server
    1792,  # read-only transaction
    1836,  # MySQL: read-only mode
}


def errno_of(error: BaseException) -> int | None:
    """The error number of the server or of PyMySQL; None if the error has none."""
    number = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
    return number if isinstance(number, int) else None


def classify(error: BaseException) -> ErrorClass:
    """The class of an error of PyMySQL, of the socket, or of encoding the statement."""
    if isinstance(error, UnicodeEncodeError):
        return ErrorClass.POISON
    if isinstance(error.__context__, TimeoutError):
        return ErrorClass.AWAY  # the caller has waited for one time-out: no second one
    errno = errno_of(error)
    if errno in _POISON:
        return ErrorClass.POISON
    if errno in _BUSY:
        return ErrorClass.BUSY
    return ErrorClass.LOST if errno in _LOST else ErrorClass.AWAY


def is_unreachable(error: BaseException) -> bool:
    """Whether there was no response: the server is not reachable, disconnected, or timed out."""
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    if not isinstance(cause, pymysql.Error | OSError):
        return False
    if isinstance(cause, OSError) or isinstance(cause.__context__, TimeoutError):
        return True
    return errno_of(cause) in _LOST | {_NOT_REACHED}


def is_outage(error: BaseException) -> bool:
    """Whether every other transaction would fail too."""
    return is_unreachable(error) or errno_of(error) in _OUTAGE


# Above every number: the value of `before` if a page has none.
NO_LIMIT = 2**63 - 1


def to_db_time(text: str | None) -> str | None:
    """`2026-01-31T12:00:00.000Z` → the text of a DATETIME(3). Strict mode rejects any other text."""
    return None if text is None else text.replace("T", " ", 1).removesuffix("Z")


def from_db_time(text: str | None) -> Timestamp | None:
    """The text of a DATETIME(3) → `2026-01-31T12:00:00.000Z`."""
    return None if text is None else from_db_time_not_null(text)


def from_db_time_not_null(text: str) -> Timestamp:
    """`from_db_time` for a column that is never NULL."""
    return Timestamp(text.replace(" ", "T", 1) + "Z")


def to_db_metadata(metadata: Metadata | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(metadata).decode()


def from_db_metadata(text: str | None) -> Metadata | None:
    return None if text is None else msgspec.json.decode(text, type=Metadata)


def placeholders(values: Sized) -> str:
    """`%s,%s,…` for an IN list: PyMySQL's own expansion of lists is deprecated."""
    return ",".join(["%s"] * len(values))


# A chat may have thousands of skipped ranges. If the plan of one OR takes more than 8 MB, MySQL reads the
# whole chat instead (`range_optimizer_max_mem_size`).
MAX_RANGES = 500


def in_number_ranges(ranges: Collection[NumberRange]) -> tuple[str, tuple[int, ...]]:
    """The condition that a number is in one of at most `MAX_RANGES` ranges, and its arguments.

    It is not a join: for a join, servers scan the whole chat for every range.
    """
    condition = " OR ".join(["number BETWEEN %s AND %s"] * len(ranges))
    return condition, tuple(bound for numbers in ranges for bound in (numbers.first, numbers.last))


# The RSA 2048 authorities of Amazon RDS, one of each region (infra/cloud/data.yaml chooses RSA 2048).
RDS_AUTHORITIES = Path(__file__).with_name("rds_authorities.pem")
CONNECT_TIMEOUT_SECONDS = 2
# How long a response may take, and after how long a transaction is not run again. Batches of workers
# take long; a request has a client that waits.
READ_TIMEOUT_SECONDS = 10
REQUEST_READ_TIMEOUT_SECONDS = 4
LOCK_WAIT_SECONDS = 2
MAX_ATTEMPTS = 5
PAUSE_SECONDS = 0.05

# Strict: otherwise MySQL would truncate a title that is too long, without an error.
SESSION = f"""
SET SESSION transaction_isolation = 'READ-COMMITTED',
  sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
  time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}
"""

# Times stay text, as they are stored: a `datetime` would only be formatted again.
_CONVERSIONS = {key: value for key, value in conversions.items() if key != FIELD_TYPE.DATETIME}

Row = tuple[Any, ...]
type Link = pymysql.Connection[Cursor]


class Database:
    """`url` is `mysql://user:password@host:port/database`, with one of these options:

    - `?ssl_ca=<file>` verifies the server's certificate against the authorities in the file.
    - `?ssl_ca=rds` verifies a server of Amazon RDS in any region, against the authorities in this package.
    - `?ssl=unverified` encrypts and verifies nothing. MySQL 8.4 accepts no password in clear text, and a
      server in a container only has a certificate that it signed itself.

    Each thread has its own connection, because PyMySQL's connections are not thread-safe. Connections are in
    autocommit mode, so that a single read is one round trip. All writes are between BEGIN and COMMIT.
    """

    def __init__(self, url: str, read_timeout_seconds: int = READ_TIMEOUT_SECONDS) -> None:
        self._options = _options(url, read_timeout_seconds)
        self._retry_seconds = read_timeout_seconds
        self._local = threading.local()
        self._circuit = Circuit("MySQL", is_unreachable)

    def read(self, sql: str, args: tuple[object, ...] = ()) -> list[Row]:
        """The rows of one SELECT outside of a transaction.

        Raises `PoisonError`, `OutageError` or `UnavailableError`, as `transact` does.
        """
        return self._run_with_retries(lambda connection: _select(connection, sql, args))

    def transact[T](self, work: Callable[[Cursor], T]) -> T:
        """Run `work` in one transaction and return its result.

        `work` may run several times, so it must not change anything outside of the database. Raises
        `PoisonError` if the database can never store the content, `OutageError` if it refuses everybody or
        does not respond, and `UnavailableError` for other failures.
        """
        return self._run_with_retries(lambda connection: self._run_once(connection, work))

    def close(self) -> None:
        """Close this thread's connection. The server rolls back what was not committed."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection._force_close()

    def _run_with_retries[T](self, step: Callable[[Link], T]) -> T:
        until = time.monotonic() + self._retry_seconds
        for attempt in range(MAX_ATTEMPTS):
            self._pause(attempt)
            if attempt > 0 and time.monotonic() > until:
                break
            is_reused = "connection" in self._local.__dict__
            try:
                with self._circuit.calling():
                    return step(self._connection())
            except FAILURES as error:
                error_class = classify(error)
                if error_class is ErrorClass.POISON:
                    raise PoisonError(str(error)) from error
                if error_class is ErrorClass.BUSY:
                    continue
                self.close()
                if not (is_reused and error_class is ErrorClass.LOST):
                    kind = OutageError if is_outage(error) else UnavailableError
                    raise kind(f"MySQL: {error}") from error
        raise UnavailableError("MySQL: every attempt ended in a deadlock or a lock wait time-out")

    def _pause(self, attempt: int) -> None:
        """Wait for a random time, so that two transactions that collided do not collide again."""
        if attempt > 0:
            time.sleep(random.uniform(0, PAUSE_SECONDS * attempt))  # noqa: S311 no secret

    def _connection(self) -> Link:
        connection: Link | None = self._local.__dict__.get("connection")
        if connection is None:
            connection = self._local.connection = pymysql.connect(**self._options)
        return connection

    def _run_once[T](self, connection: Link, work: Callable[[Cursor], T]) -> T:
        connection.begin()
        try:
            with connection.cursor() as cursor:
                result = work(cursor)
        except BaseException:
            self._roll_back(connection)
            raise
        self._commit(connection)
        return result

    def _commit(self, connection: Link) -> None:
        try:
            connection.commit()
        except FAILURES as error:
            if classify(error) is ErrorClass.BUSY:
                raise
            self.close()
            raise OutageError(
                "MySQL: the connection was lost during COMMIT, so its result is unknown"
            ) from error

    def _roll_back(self, connection: Link) -> None:
        try:
            connection.rollback()
        except FAILURES:
            self.close()


def _select(connection: Link, sql: str, args: tuple[object, ...]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return list(cursor.fetchall())


def credentials(url: str) -> tuple[str, str, str]:
    """User, password and database of a URL."""
    parts = urlsplit(url)
    return (
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.path.strip("/")),
    )


def _options(url: str, read_timeout_seconds: int) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme != "mysql" or not parts.hostname or not parts.path.strip("/"):
        raise ValueError("the MySQL URL must look like mysql://user:password@host:3306/database")
    query = parse_qs(parts.query)
    ssl_ca, unverified = query.get("ssl_ca", [""])[0], query.get("ssl") == ["unverified"]
    user, password, schema = credentials(url)
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": user,
        "password": password,
        "database": schema,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": read_timeout_seconds,
        "write_timeout": read_timeout_seconds,
        "conv": _CONVERSIONS,
        "init_command": SESSION,
        **({"ssl_ca": _authorities(ssl_ca), "ssl_verify_identity": True} if ssl_ca else {}),
        **({"ssl": {"check_hostname": False, "verify_mode": "none"}} if unverified else {}),
    }


def _authorities(name: str) -> str:
    return str(RDS_AUTHORITIES) if name == "rds" else name
