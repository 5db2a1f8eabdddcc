"""Persist a batch of chat records: one transaction, then the search queue, then Redis."""

from collections.abc import Sequence

from chalicelib.domain.metrics import CHATS_PERSISTED
from chalicelib.domain.records import ChatsRecord, PurgeRecord
from chalicelib.usecases.persist_messages import tell_redis
from chalicelib.usecases.ports import World


def persist_chats(world: World, records: Sequence[ChatsRecord]) -> None:
    """Raises `UnavailableError`, `PoisonError`, as `persist_messages`."""
    persisted = world.store.persist_chats(records, world.lease_window)
    world.queues.send(
        PurgeRecord(token=record.token, chat=chat.number)
        for record in records
        for chat in record.chats
        if chat.deleted_at
    )
    world.meter.count(CHATS_PERSISTED, sum(len(record.chats) for record in records))
    tell_redis(world, persisted.settled, persisted.raised)
