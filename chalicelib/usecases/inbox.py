"""Accept the records that other services put on the inbox queue, as if they had come over HTTP."""

import hashlib
from collections.abc import Sequence

import msgspec

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    GoneError,
    KeyReusedError,
    NotFoundError,
    PoisonError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.inbox import InboxChat, InboxRecord
from chalicelib.domain.metrics import CHATS_ACCEPTED, IDEMPOTENT_REPLAYS, MESSAGES_ACCEPTED
from chalicelib.domain.models import AppToken, Chat, Message, Timestamp
from chalicelib.domain.queue_records import AnyRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import (
    Numbered,
    assign_chat_number,
    assign_message_numbers,
    enqueue,
)
from chalicelib.usecases.ports import Ports


def accept_inbox(ports: Ports, records: Sequence[InboxRecord]) -> None:
    """Give each record its number, then enqueue all of them together.

    Raises `PoisonError` if a record can never be accepted, and `UnavailableError` if a retry can succeed.
    The records before it may have numbers by then. When they are delivered again, their keys make them
    replays, and what did not reach the queue is enqueued.
    """
    now = rfc3339(ports.clock.now_ms())
    tenants = {token: _tenant(ports, token) for token in dict.fromkeys(r.token for r in records)}
    to_enqueue: list[AnyRecord] = []
    for record in records:
        numbered = _assign_number(ports, tenants[record.token], record, now)
        to_enqueue += numbered.records
        if numbered.accepted.replayed:
            ports.metrics.count(IDEMPOTENT_REPLAYS)
        else:
            kind = CHATS_ACCEPTED if isinstance(record, InboxChat) else MESSAGES_ACCEPTED
            ports.metrics.count(kind)
    enqueue(ports, to_enqueue)


def _assign_number(
    ports: Ports, tenant: Tenant | None, record: InboxRecord, now: Timestamp
) -> Numbered[Message] | Numbered[Chat]:
    if tenant is None:
        raise PoisonError("there is no such application")
    idempotency = _idempotency(record)
    try:
        if isinstance(record, InboxChat):
            return assign_chat_number(ports, tenant, record.draft(now, record.key), idempotency)
        return assign_message_numbers(
            ports, tenant, record.chat, [record.draft(now, record.key)], idempotency
        )
    except UnauthenticatedError as error:
        raise UnavailableError("the application's key was rotated at the same time") from error
    except (NotFoundError, GoneError, KeyReusedError) as error:
        raise PoisonError(str(error)) from error


def _tenant(ports: Ports, token: AppToken) -> Tenant | None:
    """The application, without a check of a key: a service that may use the queue may write for each."""
    application = ports.store.applications.get_application(token)
    return Tenant(token, application.key_version) if application else None


def _idempotency(record: InboxRecord) -> IdempotencyKey:
    """The record's key. A line feed keeps it apart from the keys of HTTP, which are printable."""
    fingerprint = hashlib.sha256(msgspec.json.encode(record)).hexdigest()
    return IdempotencyKey(f"inbox\n{record.key}", fingerprint)
