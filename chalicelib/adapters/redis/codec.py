"""Entries and replies of the Redis scripts, as values."""

import math
from collections.abc import Sequence

import msgspec

from chalicelib.domain.errors import (
    BackpressureError,
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
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
from chalicelib.domain.models import Chat, Lease, Message, Pending
from chalicelib.domain.rate_limits import Bucket, Remaining

# States as the scripts take them, and pending entries as they give them back (see `common.lua`).

_HEAD = b'{"number":0,"revision":0'


def fragment(draft: Message | Chat) -> bytes:
    """The JSON of a state from after its revision on; the script puts number and revision before it."""
    json = msgspec.json.encode(msgspec.structs.replace(draft, number=0, revision=0))
    return json.removeprefix(_HEAD)


def parse_entry(entry: bytes, kind: type[Message] | type[Chat]) -> Pending:
    """A pending entry as a value."""
    _, accepted_at_ms, holder, epoch, ceiling, json = entry.split(b"|", 5)
    return Pending(
        accepted_at_ms=int(accepted_at_ms),
        lease=Lease(holder.decode(), int(epoch), int(ceiling)),
        state=msgspec.json.decode(json, type=kind),
    )


# What the scripts answer, as values or named errors.

_FULL_RETRY_SECONDS = 5


def state_type(counter: Counter) -> type[Message] | type[Chat]:
    return Chat if counter.chat is None else Message


def parse_lease(reply: Sequence[bytes]) -> Lease:
    return Lease(reply[0].decode(), int(reply[1]), int(reply[2]))


def parse_releasing(reply: Sequence[bytes]) -> LeaseReleasing:
    return LeaseReleasing(reply[0].decode(), int(reply[1]), int(reply[2]))


def parse_replayed(reply: list[bytes], kind: type[Message] | type[Chat]) -> Accepted:
    return Accepted(
        first=int(reply[1]),
        last=int(reply[2]),
        revision=int(reply[3]),
        created_at=reply[4].decode(),
        lease=parse_lease(reply[5:8]),
        replayed=True,
        kept=reply[8],
        pending=tuple(parse_entry(entry, kind) for entry in reply[10:]),
    )


def parse_left(told: bytes, buckets: Sequence[Bucket]) -> list[Remaining]:
    """What is left in each bucket, as `left_in` of the scripts tells it."""
    pairs = [pair.split(b"/") for pair in told.split()]
    return [
        Remaining(bucket, int(left), int(ms))
        for bucket, (left, ms) in zip(buckets, pairs, strict=True)
    ]


def parse_limited(reply: Sequence[bytes], buckets: Sequence[Bucket]) -> RateLimitedError:
    """The error that says which of the buckets has too little, and until when."""
    return RateLimitedError(buckets[int(reply[2]) - 1].name, math.ceil(int(reply[3]) / 1000))


def application_not_cached(reply: list[bytes]) -> ApplicationNotCached:
    """What a script that only reads asks for, or the error that its refusal means."""
    need = parse_not_ready(reply, "")
    assert isinstance(need, ApplicationNotCached)
    return need


def parse_not_ready(reply: list[bytes], nonce: str) -> NotReady:
    """What a script asks for, or the error that its refusal means."""
    match reply[0]:
        case b"not_cached":
            return ApplicationNotCached(reply[1].decode())
        case b"missing":
            holder, abandoned_nonces = reply[1].decode(), tuple(reply[2].decode().split(",")[:-1])
            chats = IssuedUpTo(holder, int(reply[3]), int(reply[4])) if len(reply) > 3 else None
            return LeaseMissing(holder, nonce, chats, abandoned_nonces)
        case b"releasing":
            return parse_releasing(reply[1:4])
        case b"exhausted":
            return LeaseExhausted(parse_lease(reply[1:4]))
        case b"contended":
            return LeaseContended()
        case b"full":
            raise BackpressureError("too much is waiting to be persisted", _FULL_RETRY_SECONDS)
        case b"deleted":
            raise NotFoundError("there is no such application")
        case b"key":
            raise UnauthenticatedError("the key is no longer valid")
        case b"gone":
            raise GoneError("the chat was deleted")
        case b"reused":
            raise KeyReusedError("the Idempotency-Key was used for another request")
        case b"conflict":
            raise ConflictError("the state was changed by another request")
    raise AssertionError(f"a script answered {reply!r}")
