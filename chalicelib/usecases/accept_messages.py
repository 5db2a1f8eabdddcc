"""Accept new messages of a chat: numbers from Redis, the record to SQS."""

from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.domain.metrics import MESSAGES_ACCEPTED, REPLAYS
from chalicelib.domain.numbering import Accepted, Counter, IdempotencyMark
from chalicelib.domain.records import AnyRecord, Message, MessagesRecord, records_of
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.hand_over import hand_over
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.ports import World


def accept_messages(
    world: World,
    tenant: Tenant,
    chat: int,
    drafts: Sequence[Message],
    mark: IdempotencyMark | None = None,
) -> Accepted:
    """Give the drafts numbers that follow each other, all of them or none.

    When this returns, SQS has them. Where it raises `UnavailableError`, they may have numbers: a
    retry with the same key, or the repair, completes them. Raises `GoneError`, `NotFoundError`,
    `KeyReusedError`, `UnauthenticatedError`, `RateLimitedError`; `ForbiddenError` for a user who may
    not write to the chat, or not under the name that a draft has.
    """
    accepted, records = number_messages(world, tenant, chat, drafts, mark)
    hand_over(world, records)
    if accepted.replayed:
        world.meter.count(REPLAYS)
    else:
        world.meter.count(MESSAGES_ACCEPTED, len(drafts))
    return accepted


def number_messages(
    world: World,
    tenant: Tenant,
    chat: int,
    drafts: Sequence[Message],
    mark: IdempotencyMark | None,
) -> tuple[Accepted, list[AnyRecord]]:
    """Give the drafts their numbers; the records are the caller's to hand over. Raises likewise.

    A retry gets the records of what may not have reached the queue.
    """
    tenant.require_write(chat)
    for draft in drafts:
        tenant.require_sender(draft.sender)
    counter, mark = Counter(tenant.token, chat), tenant.own(mark)
    key_version, allowance = tenant.key_version, tenant.allowance
    accepted = with_lease(
        world,
        counter,
        lambda: world.ledger.accept(counter, key_version, drafts, mark, allowance),
    )
    if accepted.replayed:
        return accepted, [*records_of(tenant.token, chat, accepted.pending)]
    messages = [
        replace(draft, number=accepted.first + i, revision=accepted.revision + i)
        for i, draft in enumerate(drafts)
    ]
    record = MessagesRecord(token=tenant.token, chat=chat, lease=accepted.lease, messages=messages)
    return accepted, [record]
