"""Accept new chats and messages: numbers from Redis, the record to SQS."""

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.metrics import CHATS_ACCEPTED, MESSAGES_ACCEPTED, REPLAYS
from chalicelib.domain.models import Chat, Lease, Message
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord, records_of
from chalicelib.usecases.leases import with_lease
from chalicelib.usecases.log_subjects import error_fields, log_records
from chalicelib.usecases.ports import Ports

# Hand what was accepted to the queues, and say whose it is where they do not take it.


def enqueue(ports: Ports, records: Sequence[AnyRecord]) -> None:
    """Send the records. Raises as `Queues.send`; they stay pending then, and the repair sends them."""
    try:
        ports.queues.send(records)
    except OrdinalError as error:
        log_records(logging.WARNING, "accepted, but not sent", records, **error_fields(error))
        raise


# Accept a new chat of an application: its number from Redis, the record to SQS.

_FIRST_EPOCH = 1


def create_chat(
    ports: Ports, tenant: Tenant, draft: Chat, idempotency: IdempotencyKey | None = None
) -> Accepted:
    """Give the chat its number. Messages can be posted to it at once. Raises as `create_messages`."""
    accepted, records = assign_chat_number(ports, tenant, draft, idempotency)
    enqueue(ports, records)
    ports.metrics.count(REPLAYS if accepted.replayed else CHATS_ACCEPTED)
    return accepted


def assign_chat_number(
    ports: Ports, tenant: Tenant, draft: Chat, idempotency: IdempotencyKey | None
) -> tuple[Accepted, list[AnyRecord]]:
    """Give the chat its number; the records are the caller's to hand over, as `assign_message_numbers`."""
    tenant.require_key()
    counter = Counter(tenant.token)
    key_version, rate_limit = tenant.key_version, tenant.rate_limit
    accepted = with_lease(
        ports,
        counter,
        lambda: ports.sequencer.accept(counter, key_version, [draft], idempotency, rate_limit),
    )
    if accepted.replayed:
        return accepted, [*records_of(tenant.token, None, accepted.pending)]
    chat = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        messages_lease=Lease(accepted.lease.holder, _FIRST_EPOCH, ports.lease_window),
    )
    return accepted, [ChatsRecord(token=tenant.token, lease=accepted.lease, chats=[chat])]


# Accept new messages of a chat: numbers from Redis, the record to SQS.


def create_message(
    ports: Ports,
    tenant: Tenant,
    chat: int,
    draft: Message,
    idempotency: IdempotencyKey | None = None,
) -> Accepted:
    """Give the draft its number. Raises as `create_messages`."""
    return create_messages(ports, tenant, chat, [draft], idempotency)


def create_messages(
    ports: Ports,
    tenant: Tenant,
    chat: int,
    drafts: Sequence[Message],
    idempotency: IdempotencyKey | None = None,
) -> Accepted:
    """Give the drafts numbers that follow each other, all of them or none.

    When this returns, SQS has them. Where it raises `UnavailableError`, they may have numbers: a
    retry with the same key, or the repair, completes them. Raises `GoneError`, `NotFoundError`,
    `KeyReusedError`, `UnauthenticatedError`, `RateLimitedError`; `ForbiddenError` for a user who may
    not write to the chat, or not under the name that a draft has.
    """
    accepted, records = assign_message_numbers(ports, tenant, chat, drafts, idempotency)
    enqueue(ports, records)
    if accepted.replayed:
        ports.metrics.count(REPLAYS)
    else:
        ports.metrics.count(MESSAGES_ACCEPTED, len(drafts))
    return accepted


def assign_message_numbers(
    ports: Ports,
    tenant: Tenant,
    chat: int,
    drafts: Sequence[Message],
    idempotency: IdempotencyKey | None,
) -> tuple[Accepted, list[AnyRecord]]:
    """Give the drafts their numbers; the records are the caller's to hand over. Raises likewise.

    A retry gets the records of what may not have reached the queue.
    """
    tenant.require_write(chat)
    for draft in drafts:
        tenant.require_sender(draft.sender)
    counter, idempotency = Counter(tenant.token, chat), tenant.scoped_to_user(idempotency)
    key_version, rate_limit = tenant.key_version, tenant.rate_limit
    accepted = with_lease(
        ports,
        counter,
        lambda: ports.sequencer.accept(counter, key_version, drafts, idempotency, rate_limit),
    )
    if accepted.replayed:
        return accepted, [*records_of(tenant.token, chat, accepted.pending)]
    messages = [
        replace(draft, number=accepted.first + i, revision=accepted.revision + i)
        for i, draft in enumerate(drafts)
    ]
    record = MessagesRecord(token=tenant.token, chat=chat, lease=accepted.lease, messages=messages)
    return accepted, [record]
