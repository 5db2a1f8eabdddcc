"""Connections to MySQL, transactions that are retried, and how values are written."""

import random
import threading
import time
from collections.abc import Callable, Sized
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
from chalicelib.domain.errors import PoisonError, UnavailableError
from chalicelib.domain.models import Metadata

# What MySQL and MariaDB say when something fails, and what it means here. The one table of it.

FAILURES = (pymysql.Error, OSError, UnicodeEncodeError)


class ErrorClass(Enum):
    """What can be done about a failed statement."""

    LOST = auto()  # the connection is gone: a new one may work, and an open transaction is undone
    BUSY = auto()  # others were in the way: the same transaction can be run again
    POISON = auto()  # the content is refused for good
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


def errno_of(error: BaseException) -> int | None:
    """The server's (or the client's) number of an error, if it has one."""
    number = error.args[0] if isinstance(error, pymysql.Error) and error.args else None
    return number if isinstance(number, int) else None


def classify(error: BaseException) -> ErrorClass:
    """Judge an error of PyMySQL, of the socket, or of encoding the text that was to be sent."""
    if isinstance(error, UnicodeEncodeError):
        return ErrorClass.POISON
    if isinstance(error.__context__, TimeoutError):
        return ErrorClass.AWAY  # it has waited long enough: no second time
    errno = errno_of(error)
    if errno in _POISON:
        return ErrorClass.POISON
    if errno in _BUSY:
        return ErrorClass.BUSY
    return ErrorClass.LOST if errno in _LOST else ErrorClass.AWAY


def unanswered(error: BaseException) -> bool:
    """Whether the server cannot be reached, went away or took too long. What it says is an answer."""
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    if not isinstance(cause, pymysql.Error | OSError):
        return False
    if isinstance(cause, OSError) or isinstance(cause.__context__, TimeoutError):
        return True
    return errno_of(cause) in _LOST | {_NOT_REACHED}


# How times and metadata are written in MySQL, both ways and exactly.

# Above every number: what `before` stands for where a page has none.
NO_LIMIT = 2**63 - 1


def to_db_time(text: str | None) -> str | None:
    """`2026-01-31T12:00:00.000Z` → what a DATETIME(3) takes; strict mode refuses the rest."""
    return None if text is None else text.replace("T", " ", 1).removesuffix("Z")


def from_db_time(text: str | None) -> str | None:
    """What a DATETIME(3) gives → `2026-01-31T12:00:00.000Z`."""
    return None if text is None else text.replace(" ", "T", 1) + "Z"


def from_db_time_not_null(text: str) -> str:
    """The same for a column that is never NULL."""
    return text.replace(" ", "T", 1) + "Z"


def to_db_metadata(metadata: Metadata | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(metadata).decode()


def from_db_metadata(text: str | None) -> Metadata | None:
    return None if text is None else msgspec.json.decode(text, type=Metadata)


def placeholders(values: Sized) -> str:
    """The placeholders of an IN list. PyMySQL's own way to expand a list is going away."""
    return ",".join(["%s"] * len(values))


# Connections to MySQL: opened when needed, kept between calls, replaced when they went stale.
#
# A transaction is run again where nothing of it can have been kept: after a deadlock, a lock wait
# time-out, or a kept connection that turns out to be dead. A connection that is lost during COMMIT
# leaves open whether it was kept; that is for the caller's retry, and every write here bears one.

# Those that sign with RSA 2048, one of each region, as the template chooses (infra/cloud/data.yaml).
RDS_AUTHORITIES = Path(__file__).with_name("rds_authorities.pem")
CONNECT_TIMEOUT_SECONDS = 2
# How long an answer may take, and after how long a transaction is not run again: for workers, whose
# batches take long, and for requests, whose clients wait.
READ_TIMEOUT_SECONDS = 10
REQUEST_READ_TIMEOUT_SECONDS = 4
LOCK_WAIT_SECONDS = 2
ATTEMPTS = 5
PAUSE_SECONDS = 0.05

# Strict, or a title that is too long would be cut without a word.
SESSION = f"""
SET SESSION transaction_isolation = 'READ-COMMITTED',
  sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
  time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}
"""

# Times come as text, as they were stored: a datetime would only be taken apart again.
_CONVERSIONS = {key: value for key, value in conversions.items() if key != FIELD_TYPE.DATETIME}

Row = tuple[Any, ...]
type Link = pymysql.Connection[Cursor]


class Database:
    """`mysql://user:password@host:port/database`, with `?ssl_ca=<file>` to demand a known server.

    `?ssl_ca=rds` knows the servers of Amazon RDS, of all regions: its authorities are in this package.
    `?ssl=unverified` encrypts without knowing the server: MySQL 8.4 takes no password in clear, and
    a server in a container has only a certificate that it made itself.

    PyMySQL's connections are not thread safe: each thread has its own. They are in autocommit mode
    so that a single read is one round trip; everything else happens between BEGIN and COMMIT.
    """

    def __init__(self, url: str, read_timeout_seconds: int = READ_TIMEOUT_SECONDS) -> None:
        self._options = _options(url, read_timeout_seconds)
        self._patience_seconds = read_timeout_seconds
        self._local = threading.local()
        self._circuit = Circuit("MySQL", unanswered)

    def read(self, sql: str, args: tuple[object, ...] = ()) -> list[Row]:
        """Run one SELECT outside of a transaction."""
        return self._run_with_retries(lambda connection: _select(connection, sql, args))

    def transact[T](self, work: Callable[[Cursor], T]) -> T:
        """Run `work` in one transaction. It may be run several times, so it must not change anything
        outside of the database."""
        return self._run_with_retries(lambda connection: self._once(connection, work))

    def close(self) -> None:
        """Let go of this thread's connection; what was not committed is undone by the server."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection._force_close()

    def _run_with_retries[T](self, step: Callable[[Link], T]) -> T:
        until = time.monotonic() + self._patience_seconds
        for attempt in range(ATTEMPTS):
            self._pause(attempt)
            if attempt > 0 and time.monotonic() > until:
                break
            kept = "connection" in self._local.__dict__
            try:
                with self._circuit.calling():
                    return step(self._connection())
            except FAILURES as error:
                verdict = classify(error)
                if verdict is ErrorClass.POISON:
                    raise PoisonError(str(error)) from error
                if verdict is not ErrorClass.BUSY:
                    self.close()
                if verdict is not ErrorClass.BUSY and not (kept and verdict is ErrorClass.LOST):
                    raise UnavailableError(f"MySQL: {error}") from error
        raise UnavailableError("MySQL: every attempt met a deadlock or a lock wait time-out")

    def _pause(self, attempt: int) -> None:
        """Wait a little, differently each time: or else two that met would meet again."""
        if attempt > 0:
            time.sleep(random.uniform(0, PAUSE_SECONDS * attempt))  # noqa: S311 no secret

    def _connection(self) -> Link:
        kept = self._local.__dict__.get("connection")
        if kept is None:
            kept = self._local.connection = pymysql.connect(**self._options)
        return kept

    def _once[T](self, connection: Link, work: Callable[[Cursor], T]) -> T:
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
            raise UnavailableError("MySQL: whether the COMMIT came through is not known") from error

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
    """User, password and database that a URL names."""
    parts = urlsplit(url)
    return (
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.path.strip("/")),
    )


def _options(url: str, read_timeout_seconds: int) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme != "mysql" or not parts.hostname or not parts.path.strip("/"):
        raise ValueError("the MySQL url must look like mysql://user:password@host:3306/database")
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
