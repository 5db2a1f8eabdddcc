"""When a request is tried again."""

import random
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from ordinal_client.errors import OrdinalError

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 16.0


class Attempts(Protocol):
    """The attempts of one request."""

    def pause_seconds(self, error: OrdinalError) -> float:
        """How long to wait after an attempt that failed. Raises where there is to be no other."""


class Policy(Protocol):
    """What decides on attempts: `Retries`, or something of one's own."""

    def begin(self) -> Attempts:
        """For a request that is about to be sent for the first time."""


class Retries(msgspec.Struct, frozen=True):
    """At most so many attempts, the last of which begins at most so many seconds after the first."""

    attempts: int = 10
    seconds: float = 60.0

    def begin(self) -> Attempts:
        """For a request that is about to be sent for the first time."""
        return BoundedAttempts(self)


class BoundedAttempts:
    """Pauses that grow, drawn at random so that clients do not come back all at once.

    What the service asks for (`Retry-After`) is waited beside that.
    """

    def __init__(
        self,
        bounds: Retries,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._draw = draw
        self._made = 0
        self._ends_at = clock() + bounds.seconds

    def pause_seconds(self, error: OrdinalError) -> float:
        """How long to wait after an attempt that failed. Raises `error` where it is the last."""
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._made, 10))
        seconds = error.retry_after_seconds + self._draw(0.0, longest)
        self._made += 1
        is_last = self._made >= self._bounds.attempts or self._clock() + seconds > self._ends_at
        if is_last or not error.retryable:
            raise error
        return seconds
