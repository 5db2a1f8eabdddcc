"""What a request takes from the buckets of its tenant. Reads are added up here, and written now and then.

A write of Redis costs more than the rest of a read, and a full Redis refuses it. So a read only checks the
buckets. When the reads of this process have used 1 % of a bucket, the next read writes their sum; a request
that writes anyway brings the sum along.
"""

from collections.abc import Sequence

import msgspec

from chalicelib.adapters.redis.codec import parse_remaining, usage_key
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import RateLimitedError
from chalicelib.domain.rate_limits import Bucket, Remaining

_WRITTEN_ONE_IN = 100
# Buckets with reads that are not written yet. Beyond that, those of the bucket that was not used for longest
# are forgotten.
_MAX_UNWRITTEN = 10_000


class Charge(msgspec.Struct, frozen=True):
    """What a script needs to charge a request: the keys of the usages, and their limits, as in `common.lua`.

    `unwritten` has, for each bucket, its key, the reads before this request, and with it; 0 if the script
    writes them.
    """

    keys: list[str]
    limits: str
    buckets: tuple[Bucket, ...]
    unwritten: list[tuple[str, int, int]]


class Charges:
    """The reads of this process that are not written yet, by the key of the usage."""

    def __init__(self) -> None:
        self._unwritten: dict[str, int] = {}

    def of_read(self, tenant: Tenant, cost: int) -> Charge:
        users = [bucket.user for bucket in tenant.buckets]
        return self._charge(tenant, users, cost, is_write=False)

    def of_write(self, tenant: Tenant, user: str | None, cost: int) -> Charge:
        """`user` sends the request: what is stored for it counts for the user, too."""
        users = dict.fromkeys([None, *(bucket.user for bucket in tenant.buckets), user])
        return self._charge(tenant, list(users), cost, is_write=True)

    def confirm(self, charge: Charge, reply: list[bytes]) -> tuple[Remaining, ...]:
        """What is left in the buckets after the script's reply. Raises `RateLimitedError`."""
        remaining = parse_remaining(reply, charge.buckets)
        if reply[0] == b"limited":
            limit = charge.buckets[int(reply[2]) - 1].name
            owed = [before for _, before, _ in charge.unwritten]
            left = tuple(
                msgspec.structs.replace(each, left=max(each.left - before, 0))
                for each, before in zip(remaining, owed, strict=True)
            )
            raise RateLimitedError(limit, -(-int(reply[3]) // 1000), left)
        if remaining:
            for key, _, after in charge.unwritten:
                self._set(key, after)
        return remaining

    def _charge(
        self, tenant: Tenant, users: Sequence[str | None], cost: int, is_write: bool
    ) -> Charge:
        buckets = {bucket.user: bucket for bucket in tenant.buckets}
        keys = [usage_key(tenant.token, user) for user in users]
        words, unwritten = [], []
        for user, key in zip(users, keys, strict=True):
            bucket = buckets.get(user)
            if bucket is None:
                words.append("0/0/0/0")
                continue
            before = self._unwritten.get(key, 0)
            total = min(before + cost, bucket.size)
            is_written = is_write or total * _WRITTEN_ONE_IN >= bucket.size
            words.append(f"{bucket.rate}/{bucket.size}/{total}/{is_written:d}")
            unwritten.append((key, before, 0 if is_written else total))
        return Charge(keys, " ".join(words), tuple(buckets.values()), unwritten)

    def _set(self, key: str, reads: int) -> None:
        self._unwritten.pop(key, None)
        if reads:
            self._unwritten[key] = reads
            if len(self._unwritten) > _MAX_UNWRITTEN:
                del self._unwritten[next(iter(self._unwritten))]
