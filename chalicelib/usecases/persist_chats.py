"""Persist a batch of chat records: one transaction, then the search queue, then Redis."""

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.metrics import CHATS_PERSISTED
from chalicelib.domain.records import ChatsRecord, PurgeRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.persist_messages import tell_redis
from chalicelib.usecases.ports import World
from chalicelib.usecases.record_log import told

logger = logging.getLogger(__name__)


def persist_chats(world: World, records: Sequence[ChatsRecord]) -> None:
    """Raises `UnavailableError`, `PoisonError`, as `persist_messages`."""
    now = rfc3339(world.clock.now_ms())
    records = [_deleted_at(now, record) for record in records]
    persisted = world.store.persist_chats(records, world.lease_window)
    world.queues.send(
        PurgeRecord(token=record.token, chat=chat.number)
        for record in records
        for chat in record.chats
        if chat.deleted_at
    )
    world.meter.count(CHATS_PERSISTED, sum(len(record.chats) for record in records))
    _forget_deleted(world, records)
    tell_redis(world, persisted.settled, persisted.raised)


def _deleted_at(now: str, record: ChatsRecord) -> ChatsRecord:
    """A deletion counts from when it is stored, for until then messages of the chat are: the last
    removal from the index must come after them."""
    chats = [replace(chat, deleted_at=now) if chat.deleted_at else chat for chat in record.chats]
    return replace(record, chats=chats)


def _forget_deleted(world: World, records: Sequence[ChatsRecord]) -> None:
    """A memory that was lost since has forgotten them, and would go on taking messages for them."""
    deleted: dict[str, list[int]] = {}
    for record in records:
        numbers = [chat.number for chat in record.chats if chat.deleted_at]
        if numbers:
            deleted.setdefault(record.token, []).extend(numbers)
    try:
        for token, numbers in deleted.items():
            world.ledger.forget_chats(token, numbers)
    except UnavailableError as error:
        logger.warning("deleted, but Redis was not told", extra=told(error))
