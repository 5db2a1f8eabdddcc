"""What MySQL and MariaDB say when something fails, and what it means here. The one table of it."""

from enum import Enum, auto

import pymysql

from chalicelib.domain.errors import UnavailableError

FAILURES = (pymysql.Error, OSError, UnicodeEncodeError)


class Verdict(Enum):
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


def verdict_of(error: BaseException) -> Verdict:
    """Judge an error of PyMySQL, of the socket, or of encoding the text that was to be sent."""
    if isinstance(error, UnicodeEncodeError):
        return Verdict.POISON
    if isinstance(error.__context__, TimeoutError):
        return Verdict.AWAY  # it has waited long enough: no second time
    errno = errno_of(error)
    if errno in _POISON:
        return Verdict.POISON
    if errno in _BUSY:
        return Verdict.BUSY
    return Verdict.LOST if errno in _LOST else Verdict.AWAY


def unanswered(error: BaseException) -> bool:
    """Whether the server cannot be reached, went away or took too long. What it says is an answer."""
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    if not isinstance(cause, pymysql.Error | OSError):
        return False
    if isinstance(cause, OSError) or isinstance(cause.__context__, TimeoutError):
        return True
    return errno_of(cause) in _LOST | {_NOT_REACHED}
