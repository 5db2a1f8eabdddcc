"""Leaves a part alone that does not answer, so that requests fail at once instead of queueing up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil

from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from chalicelib.domain.errors import UnavailableError

# One failure may be a connection that died, two bad luck.
FAILURES_TO_OPEN = 3
# A few clients' pauses: long enough that a part that comes up is not overrun, short enough that
# nobody waits for long after it came up.
OPEN_SECONDS = 5.0


class Circuit:
    """The circuit of one adapter, and so of one part and process.

    After `FAILURES_TO_OPEN` calls in a row that the part did not answer, further calls raise
    `UnavailableError` at once, for `OPEN_SECONDS`. Then a call decides: an answer closes the circuit,
    none opens it again. `unanswered` tells which errors mean that there was no answer; an error that
    the part itself sent is an answer.
    """

    def __init__(self, part: str, unanswered: Callable[[BaseException], bool]) -> None:
        self._part = part
        self._storage = CircuitMemoryStorage(STATE_CLOSED)
        self._breaker = CircuitBreaker(
            FAILURES_TO_OPEN,
            OPEN_SECONDS,
            exclude=[lambda error: not unanswered(error)],
            state_storage=self._storage,
            throw_new_error_on_trip=False,
        )

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around one call; its errors pass through. Raises `UnavailableError` where it is open."""
        try:
            # Not `call`: that one holds a lock meanwhile, and the calls of threads would queue up.
            with self._breaker.calling():
                yield
        except CircuitBreakerError as error:
            reason = f"{self._part} did not answer, and is left alone"
            raise UnavailableError(reason, self._seconds_left()) from error

    def _seconds_left(self) -> int:
        opened_at = self._storage.opened_at or datetime.now(UTC)
        left = opened_at + timedelta(seconds=OPEN_SECONDS) - datetime.now(UTC)
        return max(1, ceil(left.total_seconds()))
