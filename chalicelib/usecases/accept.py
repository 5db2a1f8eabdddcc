"""Accept new chats and messages: Redis gives the numbers, then SQS gets the record."""

import logging
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, remaining_on_errors
from chalicelib.domain.errors import OrdinalError, UnavailableError
from chalicelib.domain.idempotency import IdempotencyKey, WriteResult
from chalicelib.domain.leases import (
    Accepted,
    ApplicationNotCached,
    Counter,
    NotReady,
    PendingPage,
    first_lease,
)
from chalicelib.domain.metrics import CHATS_ACCEPTED, IDEMPOTENT_REPLAYS, MESSAGES_ACCEPTED, Metric
from chalicelib.domain.models import Chat, ChatNumber, Message
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord, records_of
from chalicelib.domain.rate_limits import Remaining
from chalicelib.domain.unread import UnpersistedChats
from chalicelib.usecases.leases import make_ready
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import error_fields, log_records

_PATIENCE_MS = 4_000


class Numbered[T: (Message, Chat)](msgspec.Struct, frozen=True):
    """Drafts that have their numbers, and the records that the caller must enqueue.

    On a replay, the records are those that may not have reached the queue.
    """

    accepted: Accepted
    versions: list[T]
    records: list[AnyRecord]


def create_chat(
    ports: Ports, tenant: Tenant, draft: Chat, idempotency: IdempotencyKey | None = None
) -> WriteResult[Chat]:
    """Give the chat its number. Messages can be posted to it at once. Raises as `create_messages`."""
    numbered = assign_chat_number(ports, tenant, draft, idempotency)
    _finish(ports, numbered, CHATS_ACCEPTED)
    return _result(numbered.accepted, numbered.versions[0])


def create_message(
    ports: Ports,
    tenant: Tenant,
    chat: ChatNumber,
    draft: Message,
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[Message]:
    """Give the message its number. Raises as `create_messages`."""
    numbered = assign_message_numbers(ports, tenant, chat, [draft], idempotency)
    _finish(ports, numbered, MESSAGES_ACCEPTED)
    return _result(numbered.accepted, numbered.versions[0])


def create_messages(
    ports: Ports,
    tenant: Tenant,
    chat: ChatNumber,
    drafts: Sequence[Message],
    idempotency: IdempotencyKey | None = None,
) -> WriteResult[NumberRange]:
    """Give the drafts consecutive numbers: all of them or none.

    When this returns, SQS has the messages. If it raises `UnavailableError`, they may have numbers: a
    retry with the same key, or the repair, completes them. Raises `GoneError`, `NotFoundError`,
    `KeyReusedError`, `UnauthenticatedError`, `RateLimitedError`. Raises `ForbiddenError` if a user may not
    write to the chat, or not under the name in a draft.
    """
    numbered = assign_message_numbers(ports, tenant, chat, drafts, idempotency)
    _finish(ports, numbered, MESSAGES_ACCEPTED)
    accepted = numbered.accepted
    return _result(accepted, NumberRange(accepted.first, accepted.last))


def assign_chat_number(
    ports: Ports, tenant: Tenant, draft: Chat, idempotency: IdempotencyKey | None
) -> Numbered[Chat]:
    """Give the chat its number, and its messages their first lease. Raises as `create_messages`."""
    tenant.require_key()
    counter = Counter(tenant.token)
    accepted = with_lease(
        ports,
        tenant,
        counter,
        lambda tenant: ports.sequencer.accept(tenant, counter, [draft], idempotency),
    )
    chat = replace(
        draft,
        number=accepted.first,
        revision=accepted.revision,
        created_at=accepted.created_at,
        messages_lease=first_lease(accepted.lease.holder, ports.lease_window),
    )
    if accepted.replayed:
        return Numbered(accepted, [chat], [*records_of(tenant.token, None, accepted.pending)])
    record = ChatsRecord(token=tenant.token, lease=accepted.lease, chats=[chat])
    return Numbered(accepted, [chat], [record])


def assign_message_numbers(
    ports: Ports,
    tenant: Tenant,
    chat: ChatNumber,
    drafts: Sequence[Message],
    idempotency: IdempotencyKey | None,
) -> Numbered[Message]:
    """Give the drafts their numbers. Raises as `create_messages`.

    On a replay only the first of the `versions` certainly has the `created_at` that was stored.
    """
    tenant.require_write(chat)
    for draft in drafts:
        tenant.require_sender(draft.sender)
    counter, idempotency = Counter(tenant.token, chat), tenant.scoped_to_user(idempotency)
    accepted = with_lease(
        ports,
        tenant,
        counter,
        lambda tenant: ports.sequencer.accept(tenant, counter, drafts, idempotency),
    )
    messages = [
        replace(draft, number=accepted.first + i, revision=accepted.revision + i)
        for i, draft in enumerate(drafts)
    ]
    if accepted.replayed:
        messages[0] = replace(messages[0], created_at=accepted.created_at)
        return Numbered(accepted, messages, [*records_of(tenant.token, chat, accepted.pending)])
    record = MessagesRecord(token=tenant.token, chat=chat, lease=accepted.lease, messages=messages)
    return Numbered(accepted, messages, [record])


def with_lease[T: (Accepted, PendingPage, UnpersistedChats)](
    ports: Ports, tenant: Tenant, counter: Counter, attempt: Callable[[Tenant], T | NotReady]
) -> T:
    """Call `attempt` until it is ready. Raises `UnavailableError` after four seconds.

    The request takes from the tenant's buckets once: with the first attempt that reaches them.
    """
    until = ports.clock.now_ms() + _PATIENCE_MS
    remaining: tuple[Remaining, ...] = ()
    try:
        while isinstance(result := attempt(tenant), NotReady):
            if not isinstance(result, ApplicationNotCached):
                remaining, tenant = remaining or result.remaining, tenant.without_rate_limit()
            if ports.clock.now_ms() > until:
                raise UnavailableError("no lease could be acquired in time")
            make_ready(ports, counter, result)
    except OrdinalError as error:
        error.remaining = error.remaining or remaining
        raise
    return replace(result, remaining=remaining) if remaining else result


def enqueue(ports: Ports, records: Sequence[AnyRecord]) -> None:
    """Send the records to their queues. Raises as `Queues.send`.

    If that fails, the log names the records. They stay pending, and the repair sends them later.
    """
    try:
        ports.queues.send(records)
    except OrdinalError as error:
        log_records(logging.WARNING, "accepted, but not sent", records, **error_fields(error))
        raise


def _finish[T: (Message, Chat)](ports: Ports, numbered: Numbered[T], metric: Metric) -> None:
    with remaining_on_errors(numbered.accepted.remaining):
        enqueue(ports, numbered.records)
    if numbered.accepted.replayed:
        ports.metrics.count(IDEMPOTENT_REPLAYS)
    else:
        ports.metrics.count(metric, len(numbered.versions))


def _result[T](accepted: Accepted, value: T) -> WriteResult[T]:
    return WriteResult(
        value,
        accepted.remaining,
        replayed=accepted.replayed,
        numbers=NumberRange(accepted.first, accepted.last),
        revision=accepted.revision,
    )
