"""What the Redis scripts take and return: names of keys, charges, versions, pending entries, replies.

All keys of an application have the hash tag `{token}`: one slot of a cluster.

Charges are what requests take from the buckets of their tenant. Reads are added up here, and written now
and then: a write of Redis costs more than the rest of a read, and a full Redis refuses it. So a read only
checks the buckets. When the reads of this process have used 1 % of a bucket, the next read writes their
sum. A request that writes anyway brings the sum along.
"""

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    BackpressureError,
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    OrdinalError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.leases import (
    Accepted,
    ApplicationNotCached,
    Counter,
    IssuedUpTo,
    LeaseContended,
    LeaseExhausted,
    LeaseMissing,
    LeaseReleasing,
    NotReady,
)
from chalicelib.domain.models import (
    AppToken,
    Chat,
    Epoch,
    Lease,
    Message,
    Pending,
    Revision,
    Timestamp,
)
from chalicelib.domain.rate_limits import Bucket, Remaining

_HEAD = b'{"number":0,"revision":0'
_FULL_RETRY_SECONDS = 5
_MEMORY_RETRY_SECONDS = 60
# The replies to requests whose key is not valid, or not known to be valid. They have taken nothing. All other
# replies have what is left in the buckets at their second place.
_BEFORE_THE_BUCKETS = (b"not_cached", b"deleted", b"key")

type VersionType = type[Message] | type[Chat]


def application_key(token: AppToken) -> str:
    return f"{{{token}}}:application"


def counter_key(counter: Counter) -> str:
    chat = counter.chat
    return f"{{{counter.token}}}:chats" if chat is None else f"{{{counter.token}}}:chat:{chat}"


def nonce_key(counter: Counter) -> str:
    return f"{counter_key(counter)}:nonce"


def pending_key(counter: Counter) -> str:
    return f"{counter_key(counter)}:pending"


def deletions_key(chat: Counter) -> str:
    """Numbers of the chat's messages whose deletion is pending."""
    return f"{counter_key(chat)}:deletions"


def edited_key(counter: Counter) -> str:
    """The numbers that were edited last, by the revision of their newest edit."""
    return f"{counter_key(counter)}:edited"


def idle_key(token: AppToken) -> str:
    """Idle counters (chat number, or 0 for the chats' counter), by when they became idle, ms since 1970."""
    return f"{{{token}}}:quiet"


def due_key(token: AppToken) -> str:
    """Pending entries (`<chat number or 0>:<number>`), by when they are overdue, ms since 1970."""
    return f"{{{token}}}:due"


def idempotency_record_key(token: AppToken, idempotency_key: str, user: str | None) -> str:
    """The idempotency record of a request with the secret key, or with a user token of `user`."""
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()
    if user is None:
        return f"{{{token}}}:mark:{digest}"
    return f"{{{token}}}:mark:{hashlib.sha256(user.encode()).hexdigest()}:{digest}"


def usage_key(token: AppToken, user: str | None = None) -> str:
    """What an application, or one of its users, uses: of its rate limit and of the memory (`common.lua`)."""
    if user is None:
        return f"{{{token}}}:usage"
    return f"{{{token}}}:usage:{hashlib.sha256(user.encode()).hexdigest()}"


def common_keys(counter: Counter) -> list[str]:
    """KEYS 1 to 8 of the scripts `accept` and `edit`."""
    chats = Counter(counter.token)
    return [
        application_key(counter.token),
        counter_key(counter),
        nonce_key(counter),
        pending_key(counter),
        due_key(counter.token),
        counter_key(chats),
        pending_key(chats),
        idle_key(counter.token),
    ]


def version_type(counter: Counter) -> VersionType:
    """What a counter numbers."""
    return Chat if counter.chat is None else Message


def fragment(draft: Message | Chat) -> bytes:
    """A version as JSON without its beginning: the script adds number and revision (`common.lua`)."""
    json = msgspec.json.encode(replace(draft, number=0, revision=0))
    return json.removeprefix(_HEAD)


def parse_entry(entry: bytes, kind: VersionType) -> Pending:
    """A pending entry, as the scripts store it (`common.lua`)."""
    _, accepted_at_ms, holder, epoch, ceiling, json = entry.split(b"|", 5)
    return Pending(
        accepted_at_ms=int(accepted_at_ms),
        lease=Lease(holder.decode(), Epoch(int(epoch)), int(ceiling)),
        version=msgspec.json.decode(json, type=kind),
    )


def accepted_at_ms(entry: bytes) -> int:
    """When the version of a pending entry was accepted."""
    return int(entry.split(b"|", 2)[1])


def parse_accepted(
    reply: list[bytes], count: int, created_at: Timestamp, remaining: tuple[Remaining, ...]
) -> Accepted:
    first = int(reply[2])
    return Accepted(
        first=first,
        last=first + count - 1,
        revision=Revision(int(reply[3])),
        created_at=created_at,
        lease=_parse_lease(reply[4:7]),
        remaining=remaining,
    )


def parse_replayed(
    reply: list[bytes], kind: VersionType, remaining: tuple[Remaining, ...]
) -> Accepted:
    return Accepted(
        first=int(reply[2]),
        last=int(reply[3]),
        revision=Revision(int(reply[4])),
        created_at=Timestamp(reply[5].decode()),
        lease=_parse_lease(reply[6:9]),
        replayed=True,
        stored_response=reply[9],
        pending=tuple(parse_entry(entry, kind) for entry in reply[10:]),
        remaining=remaining,
    )


def parse_remaining(reply: list[bytes], buckets: Sequence[Bucket]) -> tuple[Remaining, ...]:
    """What is left in the buckets. Empty if the request has taken nothing."""
    if reply[0] in _BEFORE_THE_BUCKETS:
        return ()
    pairs = [pair.split(b"/") for pair in reply[1].split()]
    return tuple(
        Remaining(bucket, int(left), int(ms))
        for bucket, (left, ms) in zip(buckets, pairs, strict=True)
    )


def parse_releasing(reply: Sequence[bytes]) -> LeaseReleasing:
    return LeaseReleasing(reply[0].decode(), Epoch(int(reply[1])), int(reply[2]))


def parse_not_cached(reply: list[bytes], remaining: tuple[Remaining, ...]) -> ApplicationNotCached:
    """The reply of a script that only reads, and so never needs a lease. Raises as `parse_not_ready`."""
    not_ready = parse_not_ready(reply, "", remaining)
    assert isinstance(not_ready, ApplicationNotCached)
    return not_ready


def parse_not_ready(reply: list[bytes], nonce: str, remaining: tuple[Remaining, ...]) -> NotReady:
    """What has to happen before the script can do its work. Raises the error that a refusal means."""
    match reply[0]:
        case b"not_cached":
            return ApplicationNotCached(reply[1].decode())
        case b"missing":
            holder, abandoned_nonces = reply[2].decode(), tuple(reply[3].decode().split(",")[:-1])
            chats = (
                IssuedUpTo(holder, Epoch(int(reply[4])), int(reply[5])) if len(reply) > 4 else None
            )
            return LeaseMissing(holder, nonce, chats, abandoned_nonces, remaining)
        case b"releasing":
            return replace(parse_releasing(reply[2:5]), remaining=remaining)
        case b"exhausted":
            return LeaseExhausted(_parse_lease(reply[2:5]), remaining)
        case b"contended":
            return LeaseContended(remaining)
    error = _parse_refusal(reply)
    error.remaining = remaining
    raise error


def _parse_refusal(reply: list[bytes]) -> OrdinalError:
    match reply[0]:
        case b"full":
            return BackpressureError("too much is waiting to be persisted", _FULL_RETRY_SECONDS)
        case b"over":
            principal = "application" if int(reply[2]) == 1 else "user"
            return RateLimitedError(
                "memory",
                _MEMORY_RETRY_SECONDS,
                reason=f"what is stored for 24 hours for the {principal} takes too much memory: "
                "idempotency keys and deleted chats",
            )
        case b"crowded":
            return UnavailableError("too many requests wait for the same lease")
        case b"deleted":
            return NotFoundError("there is no such application")
        case b"unknown":
            return NotFoundError("there is no such chat")
        case b"key":
            return UnauthenticatedError("the key is no longer valid")
        case b"gone":
            return GoneError("the chat was deleted")
        case b"reused":
            return KeyReusedError("the Idempotency-Key was used for another request")
        case b"conflict":
            return ConflictError("another request changed this at the same time")
    raise AssertionError(f"unknown reply of a script: {reply!r}")


def _parse_lease(reply: Sequence[bytes]) -> Lease:
    return Lease(reply[0].decode(), Epoch(int(reply[1])), int(reply[2]))


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
