"""Accept what other services put on the inbox queue, as if it had come over HTTP."""

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
from chalicelib.domain.idempotency import IdempotencyMark
from chalicelib.domain.leases import Accepted
from chalicelib.domain.metrics import CHATS_ACCEPTED, MESSAGES_ACCEPTED, REPLAYS
from chalicelib.domain.queue_records import AnyRecord, InboxChat, InboxRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import hand_over, number_chat, number_messages
from chalicelib.usecases.ports import World


def accept_inbox(world: World, records: Sequence[InboxRecord]) -> None:
    """Each gets its number, then all are handed over together.

    Raises `PoisonError` where one can never be accepted, `UnavailableError` where it can succeed
    later. Those before it may have numbers by then: the next time they are replays, because of their
    keys, and what did not reach the queue is handed over then.
    """
    now = rfc3339(world.clock.now_ms())
    tenants = {token: _tenant(world, token) for token in dict.fromkeys(r.token for r in records)}
    numbered: list[AnyRecord] = []
    for record in records:
        accepted, to_send = _number(world, tenants[record.token], record, now)
        numbered += to_send
        if accepted.replayed:
            world.meter.count(REPLAYS)
        else:
            kind = CHATS_ACCEPTED if isinstance(record, InboxChat) else MESSAGES_ACCEPTED
            world.meter.count(kind)
    hand_over(world, numbered)


def _number(
    world: World, tenant: Tenant | None, record: InboxRecord, now: str
) -> tuple[Accepted, list[AnyRecord]]:
    if tenant is None:
        raise PoisonError("there is no such application")
    mark = _mark(record)
    try:
        if isinstance(record, InboxChat):
            return number_chat(world, tenant, record.draft(now, record.key), mark)
        return number_messages(world, tenant, record.chat, [record.draft(now, record.key)], mark)
    except UnauthenticatedError as error:
        raise UnavailableError("the application's key was rotated meanwhile") from error
    except (NotFoundError, GoneError, KeyReusedError) as error:
        raise PoisonError(str(error)) from error


def _tenant(world: World, token: str) -> Tenant | None:
    """Whoever may write to the queue may write for every application, so its key is taken as given."""
    application = world.store.get_application(token)
    return Tenant(token, application.key_version) if application else None


def _mark(record: InboxRecord) -> IdempotencyMark:
    """A line feed keeps the keys apart from those of HTTP, which are printable."""
    fingerprint = hashlib.sha256(msgspec.json.encode(record)).hexdigest()
    return IdempotencyMark(f"inbox\n{record.key}", fingerprint)
