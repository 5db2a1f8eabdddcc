"""The numbering protocol: counters, leases, and what the scripts of Redis return (`docs/design.md`).

A counter issues a number only under a lease that the same incarnation of Redis holds. Otherwise the result is
`NotReady`, and names what has to happen first. Its `remaining` is what is left of the rate limits: the
request has taken from them, and takes nothing when it comes again.
"""

import msgspec

from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Epoch,
    Lease,
    Pending,
    Revision,
    Timestamp,
)
from chalicelib.domain.queue_records import Document
from chalicelib.domain.rate_limits import Remaining


class Counter(msgspec.Struct, frozen=True):
    """Issues the numbers of an application's chats, or of the messages of one chat."""

    token: AppToken
    chat: ChatNumber | None = None


def first_lease(holder: str, window: int) -> Lease:
    """The lease of the message numbers of a new chat. `accept.lua` writes the same into the pending chat."""
    return Lease(holder, epoch=Epoch(1), ceiling=window)


class Accepted(msgspec.Struct, frozen=True):
    """The numbers `first` … `last` were issued, with consecutive revisions from `revision`.

    `created_at` is the time of the first version. If `replayed`, an earlier request with the same
    Idempotency-Key got these numbers; `pending` then holds those of its versions that may not have reached
    the queue, and `stored_response` what an edit stored for its replays. `remaining` is what is left of the
    rate limits.
    """

    first: int
    last: int
    revision: Revision
    created_at: Timestamp
    lease: Lease
    replayed: bool = False
    stored_response: bytes = b""
    pending: tuple[Pending, ...] = ()
    remaining: tuple[Remaining, ...] = ()


class ApplicationNotCached(msgspec.Struct, frozen=True):
    """Redis has no copy of the application: it must be read from MySQL.

    Redis takes the copy only while it still has `nonce`. A change of the key in between removes the nonce.
    """

    nonce: str


class IssuedUpTo(msgspec.Struct, frozen=True):
    """The highest number that an incarnation has issued under its lease."""

    holder: str
    epoch: Epoch
    last: int


class LeaseMissing(msgspec.Struct, frozen=True):
    """The counter is missing, or belongs to another incarnation. `nonce` names this caller's attempt.

    `chats` says how far this incarnation has issued chat numbers, if it knows. `abandoned_nonces` are the
    nonces of earlier attempts in this incarnation: what MySQL granted to one of them was never installed.
    """

    holder: str
    nonce: str
    chats: IssuedUpTo | None = None
    abandoned_nonces: tuple[str, ...] = ()
    remaining: tuple[Remaining, ...] = ()


class LeaseExhausted(msgspec.Struct, frozen=True):
    """The counter has reached the ceiling of its lease."""

    lease: Lease
    remaining: tuple[Remaining, ...] = ()


class LeaseContended(msgspec.Struct, frozen=True):
    """Another caller is acquiring a lease at this moment."""

    remaining: tuple[Remaining, ...] = ()


class LeaseReleasing(msgspec.Struct, frozen=True):
    """The counter was idle and issues no numbers any more. The numbers above `last` can be given back."""

    holder: str
    epoch: Epoch
    last: int
    remaining: tuple[Remaining, ...] = ()


NotReady = ApplicationNotCached | LeaseMissing | LeaseExhausted | LeaseContended | LeaseReleasing


class LeaseGrant(msgspec.Struct, frozen=True):
    """A new lease: the numbers above `floor`, up to `lease.ceiling`.

    If `lost`, the lease before it was not given back, because its incarnation was lost. `skipped` is how many
    numbers below `floor` were skipped: they have no row.
    """

    floor: int
    lease: Lease
    lost: bool = False
    skipped: int = 0


class PendingPage(msgspec.Struct, frozen=True):
    """The pending versions of a page, in the order of the page.

    If `truncated`, more versions are pending than the page holds. `known` says that Redis has the counter,
    or the chat that it belongs to. `edits` is the revision of the counter's newest edit: it shows whether a
    version that is read from MySQL after this page is still current when it is edited. `last` is the last
    number that was issued, None if this incarnation does not hold the counter's lease. `replayed` is what an
    earlier request with the same Idempotency-Key got; then the rest of the page is empty. `remaining` is
    what is left of the rate limits.
    """

    pending: tuple[Pending, ...]
    truncated: bool
    known: bool
    edits: int
    last: int | None = None
    replayed: Accepted | None = None
    remaining: tuple[Remaining, ...] = ()


class EditPrecondition(msgspec.Struct, frozen=True):
    """What must still hold when an edit is accepted: the revision that was edited, the counter's `edits` from
    before that version was read, and the epoch of the newest lease in MySQL.
    """

    revision: Revision
    edits: int
    epoch: Epoch


class PersistedMessages(msgspec.Struct, frozen=True):
    """What one transaction did: the versions that the index must have, and the leases that it extended.

    `documents` are the versions in MySQL now, even if they were there before. `acknowledged` has, for each
    counter, the revision up to which a number is done.
    """

    documents: tuple[Document, ...]
    extended: tuple[tuple[Counter, Lease], ...]
    acknowledged: dict[Counter, dict[int, int]]


class PersistedChats(msgspec.Struct, frozen=True):
    """What one transaction did: the leases that it extended, and what is done, as for messages."""

    extended: tuple[tuple[Counter, Lease], ...]
    acknowledged: dict[Counter, dict[int, int]]
