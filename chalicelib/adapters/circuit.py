"""Stops calls to a part that does not respond, so that requests fail at once and do not pile up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil

from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from chalicelib.domain.errors import OutageError

# One failure may be a dead connection, two may be chance.
FAILURES_TO_OPEN = 3
# As long as a client's few retries: a part that starts is not overrun, and nobody waits long afterwards.
OPEN_SECONDS = 5.0


class Circuit:
    """The circuit breaker of one adapter: of one part, in one process.

    After `FAILURES_TO_OPEN` calls in a row without a response, further calls raise `OutageError` at
    once, for `OPEN_SECONDS`. Then one call decides: a response closes the circuit, otherwise it opens again.
    `is_unreachable` says which errors mean that there was no response. An error that the part itself sent is
    a response.
    """

    def __init__(self, part: str, is_unreachable: Callable[[BaseException], bool]) -> None:
        self._part = part
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self._breaker = CircuitBreaker(
            FAILURES_TO_OPEN,
            OPEN_SECONDS,
            exclude=[lambda error: not is_unreachable(error)],
            state_storage=self._storage,
            throw_new_error_on_trip=False,
        )

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Surrounds one call, and lets its errors pass. Raises `OutageError` if the circuit is open."""
        try:
            # Not `call`: it holds a lock during the call, so that threads would wait for each other.
            with self._breaker.calling():
                yield
        except CircuitBreakerError as error:
            reason = f"{self._part} does not respond"
            raise OutageError(reason, self._seconds_left()) from error

    def _seconds_left(self) -> int:
        opened_at = self._storage.opened_at or datetime.now(UTC)
        left = opened_at + timedelta(seconds=OPEN_SECONDS) - datetime.now(UTC)
        return max(1, ceil(left.total_seconds()))
