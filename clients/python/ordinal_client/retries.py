"""When the client repeats a request, and how long it waits before."""

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
        """Return how long to wait after a failed attempt. Raise an error to end the request."""


class Policy(Protocol):
    """What a client's `retries` must be: `Retries`, or a policy of your own."""

    def start(self) -> Attempts:
        """Start a request. The client calls this before the first attempt."""


class Retries(msgspec.Struct, frozen=True):
    """The default policy: at most `attempts` attempts, and none later than `seconds` after the first."""

    attempts: int = 10
    seconds: float = 60.0

    def start(self) -> Attempts:
        """Start a request."""
        return BoundedAttempts(self)


class BoundedAttempts:
    """The attempts of one request within the limits of `Retries`."""

    def __init__(
        self,
        limits: Retries,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._draw = draw
        self._failures = 0
        self._ends_at = clock() + limits.seconds

    def pause_seconds(self, error: OrdinalError) -> float:
        """Return how long to wait after a failed attempt. Raise `error` after the last attempt."""
        seconds = pause_seconds(self._failures, error, self._draw)
        self._failures += 1
        is_last = self._failures >= self._limits.attempts or self._clock() + seconds > self._ends_at
        if is_last or not error.retryable:
            raise error
        return seconds


def pause_seconds(
    failures: int,
    error: OrdinalError,
    draw: Callable[[float, float], float] = random.uniform,
) -> float:
    """The pause before the next attempt, for policies of your own.

    It is what the service asks for (`Retry-After`) and a random time. The random time grows with each
    failure, up to 16 seconds, and spreads clients that failed at the same moment.

    :param failures: how many attempts of the request failed before this failure.
    :param error: this failure.
    :param draw: returns a random number between its arguments.
    :returns: the seconds to wait.
    """
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(failures, 10))
    return error.retry_after_seconds + draw(0.0, longest)
