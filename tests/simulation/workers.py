"""Workers and the schedule, as the entrypoints run them."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import json

from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord, SearchRecord, decode_inbox
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.inbox import accept_inbox
from chalicelib.usecases.maintenance import close_leases, purge_deleted, repair_pending
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.ports import World
from chalicelib.usecases.process_batch import Received, work_off
from chalicelib.usecases.search import index_messages
from tests.simulation.queues import SimulatedQueues

Handle = Callable[[World, Sequence[Any]], None]

_DECODERS: dict[str, Callable[[str], Any]] = {
    "chats": json.Decoder(ChatsRecord).decode,
    "messages": json.Decoder(MessagesRecord).decode,
    "search": json.Decoder(SearchRecord).decode,
}
_HANDLERS: dict[str, Handle] = {
    "inbox": accept_inbox,
    "chats": persist_chats,
    "messages": persist_messages,
    "search": index_messages,
}


def take_batch(
    world: World, queues: SimulatedQueues, queue: str, most: int, chance: random.Random
) -> tuple[int, Callable[[], None]]:
    """Receive records; how many, and what a worker does with them."""
    received = queues.receive(queue, most, chance)
    return len(received), lambda: _work(world, queues, queue, received)


def _work(world: World, queues: SimulatedQueues, queue: str, received: Sequence[Received]) -> None:
    now = rfc3339(world.clock.now_ms())
    decode = _DECODERS.get(queue, lambda body: decode_inbox(body, now))
    handle = _HANDLERS[queue]
    again = work_off(world, queue, received, decode, lambda records: handle(world, records))
    queues.done(queue, [item.id for item in received if item.id not in again])


def repair(world: World) -> None:
    """What runs every minute. Where it fails, the next minute comes."""
    with suppress(OrdinalError):
        repair_pending(world)
        purge_deleted(world)


def close_quiet(world: World, quiet_ms: int) -> None:
    """Give back the leases of counters that were quiet for so long."""
    with suppress(OrdinalError):
        close_leases(world, quiet_ms)
