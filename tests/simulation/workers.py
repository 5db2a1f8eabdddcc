"""Workers and the schedule, as the entrypoints run them."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import json

from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.inbox import decode_inbox
from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.inbox import accept_inbox
from chalicelib.usecases.maintenance import purge_deleted, release_idle_leases, repair_pending
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.ports import Ports
from chalicelib.usecases.process_batch import Received, process_batch
from chalicelib.usecases.search import index_messages
from tests.simulation.queues import SimulatedQueues

Handle = Callable[[Ports, Sequence[Any]], None]

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
    ports: Ports, queues: SimulatedQueues, queue: str, most: int, chance: random.Random
) -> tuple[int, Callable[[], None]]:
    """Receive records; how many, and what a worker does with them."""
    received = queues.receive(queue, most, chance)
    return len(received), lambda: _work(ports, queues, queue, received)


def _work(ports: Ports, queues: SimulatedQueues, queue: str, received: Sequence[Received]) -> None:
    now = rfc3339(ports.clock.now_ms())
    decode = _DECODERS.get(queue, lambda body: decode_inbox(body, now))
    handle = _HANDLERS[queue]
    again = process_batch(ports, queue, received, decode, lambda records: handle(ports, records))
    queues.done(queue, [item.id for item in received if item.id not in again])


def repair(ports: Ports) -> None:
    """What runs every minute. Where it fails, the next minute comes."""
    with suppress(OrdinalError):
        repair_pending(ports)
        purge_deleted(ports)


def close_quiet(ports: Ports, idle_ms: int) -> None:
    """Give back the leases of counters that were quiet for so long."""
    with suppress(OrdinalError):
        release_idle_leases(ports, idle_ms)
