"""Accept new chats and messages: numbers from Redis, the record to SQS."""

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.idempotency import IdempotencyMark
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.metrics import CHATS_ACCEPTED, MESSAGES_ACCEPTED, REPLAYS
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord, records_of
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.log_subjects import log_records, told
from chalicelib.usecases.ports import World

# Hand what was accepted to the queues, and say whose it is where they do not take it.


def hand_over(world: World, records: Sequence[AnyRecord]) -> None:
    """Send the records. Raises as `Queues.send`; they stay pending then, and the repair sends them."""
    try:
        world.queues.send(records)
    except OrdinalError as error:
        log_records(logging.WARNING, "accepted, but not sent", records, **told(error))
        raise


# Accept a new chat of an application: its number from Redis, the record to SQS.

_FIRST_EPOCH = 1


def accept_chat(
    world: World, tenant: Tenant, draft: Chat, mark: IdempotencyMark | None = None
) -> Accepted:
    """Give the chat its number. Messages can be posted to it at once. Raises as `accept_messages`."""
    accepted, records = number_chat(world, tenant, draft, mark)
    hand_over(world, records)
    world.meter.count(REPLAYS if accepted.replayed else CHATS_ACCEPTED)
    return accepted


def number_chat(
    world: World, tenant: Tenant, draft: Chat, mark: IdempotencyMark | None
) -> tuple[Accepted, list[AnyRecord]]:
    """Give the chat its number; the records are the caller's to hand over, as `number_messages`."""
    tenant.require_key()
    counter = Counter(tenant.token)
    key_version, allowance = tenant.key_version, tenant.allowance
    accepted = with_lease(
        world,
        counter,
        lambda: world.ledger.accept(counter, key_version, [draft], mark, allowance),
    )
    if accepted.replayed:
        return accepted, [*records_of(tenant.token, None, accepted.pending)]
    chat = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        messages_lease=Lease(accepted.lease.holder, _FIRST_EPOCH, world.lease_window),
    )
    return accepted, [ChatsRecord(token=tenant.token, lease=accepted.lease, chats=[chat])]


# Accept new messages of a chat: numbers from Redis, the record to SQS.


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
