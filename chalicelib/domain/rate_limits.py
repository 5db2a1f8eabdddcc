"""How many requests an application, and each of its users, may send: token buckets.

The service is shared, so no application may use all of it. The buckets are stored in Redis. The script
that serves a request also takes from them (`common.lua`), so a limit costs no round trip of its own.
A request takes one from each bucket; a write takes one for each message, and for each 4,096 bytes of it; a
search and the deletion of a chat take more. If one bucket has too little, nothing is taken from any.
"""

from collections.abc import Iterable

import msgspec

from chalicelib.domain.limits import (
    BURST_SECONDS,
    MAX_BATCH_MESSAGES,
    MAX_REQUEST_BYTES,
    RATE_UNIT_BYTES,
)


class Bucket(msgspec.Struct, frozen=True):
    """A bucket of `size` that refills with `rate` per second. Without a `user` it is the application's."""

    rate: float
    size: int
    user: str | None = None

    @property
    def name(self) -> str:
        """The name that clients see."""
        return "application" if self.user is None else "user"


# The largest batch, with the largest body.
MIN_BUCKET = MAX_BATCH_MESSAGES + MAX_REQUEST_BYTES // RATE_UNIT_BYTES


def bucket(rate: int, user: str | None = None) -> Bucket:
    """A bucket that holds the refill of two seconds, and at least the largest request."""
    rate = max(rate, 1)
    return Bucket(rate, max(rate * BURST_SECONDS, MIN_BUCKET), user)


def cost_of(sizes: Iterable[int]) -> int:
    """What a request takes that writes versions of these sizes, in bytes."""
    return sum(max(1, -(-size // RATE_UNIT_BYTES)) for size in sizes)


class Remaining(msgspec.Struct, frozen=True):
    """What is left in a bucket after a request, and in how many milliseconds the bucket is full again."""

    bucket: Bucket
    left: int
    full_in_ms: int


class Result[T](msgspec.Struct, frozen=True):
    """What a use case returns for a request: a value, and what is left of the request's rate limits.

    `remaining` is empty if the request has no rate limit.
    """

    value: T
    remaining: tuple[Remaining, ...] = ()
