"""How much one application, and one user, may ask for. The service is shared; nobody gets all of it.

The scripts that serve requests keep the buckets (`common.lua`), so that a limit costs no question of its
own. A request takes one, a batch one for each message; where a bucket has too little, none is taken.
"""

import msgspec

from chalicelib.domain.limits import BURST_SECONDS, MAX_BATCH_MESSAGES


class Bucket(msgspec.Struct, frozen=True):
    """Holds `size`, and `rate` a second flow back. `user` is whose it is, None for the application's."""

    rate: float
    size: int
    user: str | None = None

    @property
    def name(self) -> str:
        """What clients know it by."""
        return "application" if self.user is None else "user"


def bucket(rate: int, user: str | None = None) -> Bucket:
    """A bucket that holds what flows back in two seconds, and at least the largest batch."""
    rate = max(rate, 1)
    return Bucket(rate, max(rate * BURST_SECONDS, MAX_BATCH_MESSAGES), user)


class Remaining(msgspec.Struct, frozen=True):
    """What a bucket has left, and when it will be full again."""

    bucket: Bucket
    left: int
    full_in_ms: int


class RateLimit:
    """The buckets from which one request takes. It takes once, however many scripts it needs.

    `left` is what the scripts said last: empty as long as none has looked.
    """

    def __init__(self, *buckets: Bucket) -> None:
        self._buckets = buckets
        self._is_taken = False
        self.left: tuple[Remaining, ...] = ()

    @property
    def pending_buckets(self) -> tuple[Bucket, ...]:
        """The buckets from which this request has yet to take."""
        return () if self._is_taken else self._buckets

    def refused(self, *left: Remaining) -> None:
        """Nothing was taken, because one of the buckets has too little."""
        self.left = left

    def taken(self, *left: Remaining) -> None:
        """What this request costs was taken."""
        self.left, self._is_taken = left, True
