"""RFC 3339 times in UTC with milliseconds: `2026-01-31T12:00:00.000Z`."""

from datetime import UTC, datetime

from chalicelib.domain.errors import InvalidError
from chalicelib.domain.models import Timestamp


def rfc3339(ms: int) -> Timestamp:
    """The text of a time in milliseconds since 1970."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return Timestamp(f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z")


def unix_ms(text: str) -> int:
    """The milliseconds since 1970 of a text that `rfc3339` has made."""
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def parse_time(name: str, text: str) -> Timestamp:
    """Any RFC 3339 time, in the form of `rfc3339`. Raises `InvalidError` for the field `name`."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidError(name, "must be an RFC 3339 time with a time zone") from None
    if not 1970 <= at.year <= 9998:
        raise InvalidError(name, "must be a time in 1970 or later")
    return rfc3339(int(at.timestamp()) * 1000 + at.microsecond // 1000)
