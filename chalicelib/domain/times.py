"""Times as text, and the time that is left to an invocation.

The text is RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


# No step starts with less time. A call to a part that does not respond takes up to 12 s (MySQL, OpenSearch:
# 2 s to connect, 10 s to read), and after it the function still reports what is not done.
MIN_REMAINING_MS = 15_000
# No step starts with a smaller share of the time, so that the last step ends well before the time-out.
MIN_REMAINING_SHARE = 0.4


class Deadline:
    """Says whether another step of the work may start.

    `remaining_ms` is Lambda's own count (`get_remaining_time_in_millis`). The first step always starts, so
    that each invocation makes progress.
    """

    def __init__(self, remaining_ms: Callable[[], float]) -> None:
        self._remaining_ms = remaining_ms
        self._reserve_ms = max(MIN_REMAINING_MS, MIN_REMAINING_SHARE * remaining_ms())
        self._has_started = False
        self._slowest_ms = 0.0
        self.last_step_ms = 0.0

    def allows_step(self) -> bool:
        """Whether there is the reserve, and twice the time of the slowest step so far."""
        needed = max(self._reserve_ms, 2 * self._slowest_ms)
        return not self._has_started or self._remaining_ms() >= needed

    @contextmanager
    def step(self) -> Iterator[None]:
        """Surrounds a step, and measures it."""
        self._has_started = True
        before = self._remaining_ms()
        try:
            yield
        finally:
            self.last_step_ms = before - self._remaining_ms()
            self._slowest_ms = max(self._slowest_ms, self.last_step_ms)
