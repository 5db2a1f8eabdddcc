"""The words of the numbering protocol: counters, what a script answers, and pages of numbers.

A counter hands out a number only under a lease that its own memory holds; otherwise the answer says
what has to happen first. `docs/design.md` tells the protocol.
"""

import msgspec

from chalicelib.domain.models import Lease, Message, Pending
from chalicelib.domain.rate_limits import Remaining


class Counter(msgspec.Struct, frozen=True):
    """Where numbers come from: the chats of an application, or the messages of one of its chats."""

    token: str
    chat: int | None = None


def first_lease(holder: str, window: int) -> Lease:
    """The lease of the message numbers of a new chat. `accept.lua` writes the same into the pending chat."""
    return Lease(holder, epoch=1, ceiling=window)


class Accepted(msgspec.Struct, frozen=True):
    """Numbers `first` … `last` were given, with revisions that follow each other from `revision`.

    `created_at` is the time of the first version. If `replayed`, an earlier request with the same
    Idempotency-Key got these numbers; `pending` then holds those of its versions that may not have reached
    the queue, and `stored_response` what an edit stored for its replays. `remaining` is what is left of the
    rate limits.
    """

    first: int
    last: int
    revision: int
    created_at: str
    lease: Lease
    replayed: bool = False
    stored_response: bytes = b""
    pending: tuple[Pending, ...] = ()
    remaining: tuple[Remaining, ...] = ()


class ApplicationNotCached(msgspec.Struct, frozen=True):
    """This memory does not know the application: look it up in MySQL.

    What is found is remembered only while `nonce` is there: where the key was changed since, it is not.
    """

    nonce: str


class IssuedUpTo(msgspec.Struct, frozen=True):
    """The highest number that a memory has given under its lease."""

    holder: str
    epoch: int
    last: int


class LeaseMissing(msgspec.Struct, frozen=True):
    """The counter is missing or another memory's. `nonce` was left beside it for this caller.

    `chats` is how far this incarnation has numbered chats, if it knows. `abandoned_nonces` are the nonces of
    earlier attempts in this incarnation: what MySQL granted to one of them was never installed.
    """

    holder: str
    nonce: str
    chats: IssuedUpTo | None = None
    abandoned_nonces: tuple[str, ...] = ()


class LeaseExhausted(msgspec.Struct, frozen=True):
    """The counter is ours, and at the ceiling of this lease."""

    lease: Lease


class LeaseContended(msgspec.Struct, frozen=True):
    """Another caller is beginning a lease at this moment."""


class LeaseReleasing(msgspec.Struct, frozen=True):
    """The counter was quiet, and hands out nothing any more: give the numbers above `last` back."""

    holder: str
    epoch: int
    last: int


NotReady = ApplicationNotCached | LeaseMissing | LeaseExhausted | LeaseContended | LeaseReleasing


class LeaseGrant(msgspec.Struct, frozen=True):
    """A new lease: numbers above `floor`, up to `lease.ceiling`.

    `lost` says that the lease before it was not given back: its memory was lost. `skipped` is how many
    numbers were passed over that have no row.
    """

    floor: int
    lease: Lease
    lost: bool = False
    skipped: int = 0


class PendingPage(msgspec.Struct, frozen=True):
    """What Redis knows of a range of a counter: pending states by descending number.

    If `truncated`, more versions are pending than the page holds. `known` says that Redis has the counter,
    or the chat that it belongs to. `edits` is the number of edits that were accepted so far: a version that
    is read from MySQL after this page is current as long as `edits` stays the same. `replayed` is what an
    earlier request with the same Idempotency-Key got; then the rest of the page is empty. `remaining` is
    what is left of the rate limits.
    """

    pending: tuple[Pending, ...]
    truncated: bool
    known: bool
    edits: int
    replayed: Accepted | None = None
    remaining: tuple[Remaining, ...] = ()


class EditPrecondition(msgspec.Struct, frozen=True):
    """What an edit is made from: the revision of the state, the `edits` of the look before it was read,
    and the epoch of the newest lease, as MySQL had it by then."""

    revision: int
    edits: int
    epoch: int


class PersistedMessages(msgspec.Struct, frozen=True):
    """What one transaction did: the states that the index must have, and the leases it raised.

    `documents` are token, chat and state of what is in MySQL now, also when it was there before.
    `acknowledged` names, for each counter, the revision up to which a number is dealt with.
    """

    documents: tuple[tuple[str, int, Message], ...]
    extended: tuple[tuple[Counter, Lease], ...]
    acknowledged: dict[Counter, dict[int, int]]


class PersistedChats(msgspec.Struct, frozen=True):
    """What one transaction did: the leases it raised, and what is dealt with, as for messages."""

    extended: tuple[tuple[Counter, Lease], ...]
    acknowledged: dict[Counter, dict[int, int]]
