"""SQS with its timeouts, and what takes records from it: the workers, and the tasks of the schedule."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
from msgspec import json

from chalicelib.adapters.aws import queue_of, split_to_fit
from chalicelib.domain.errors import OrdinalError
from chalicelib.domain.inbox import decode_inbox
from chalicelib.domain.queue_records import AnyRecord, ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.domain.times import Deadline, rfc3339
from chalicelib.settings import QUEUES
from chalicelib.usecases.inbox import accept_inbox
from chalicelib.usecases.maintenance import purge_deleted, release_idle_leases
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.ports import Clock, Ports
from chalicelib.usecases.process_batch import Failures, Received, process_batch
from chalicelib.usecases.repair import repair_pending
from chalicelib.usecases.search import index_messages
from infra.deploy.queues import MAX_RECEIVE_COUNT, VISIBILITY_TIMEOUT_SECONDS

# The time-out of the workers.
_TIMEOUT_MS = 30_000
# The share of the received records that stay visible, so that they are delivered twice.
_DUPLICATE_SHARE = 0.1

# The time-out of a task.
_TASK_MS = 60_000

Handler = Callable[[Ports, Sequence[Any], Deadline], Failures | None]

_DECODERS: dict[str, Callable[[str], Any]] = {
    "chats": json.Decoder(ChatsRecord).decode,
    "messages": json.Decoder(MessagesRecord).decode,
    "search": json.Decoder(SearchRecord).decode,
}
_HANDLERS: dict[str, Handler] = {
    "inbox": accept_inbox,
    "chats": lambda ports, records, _: persist_chats(ports, records),
    "messages": lambda ports, records, _: persist_messages(ports, records),
    "search": index_messages,
}


class _Record(msgspec.Struct):
    id: str
    body: str
    visible_at: int
    sent_at: int
    receives: int = 0


class SimulatedQueues:
    """A received record becomes visible again unless it is deleted. `dead` holds (queue, body)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = count(1)
        self.records: dict[str, dict[str, _Record]] = {queue: {} for queue in QUEUES}
        self.dead: list[tuple[str, str]] = []

    def send(self, records: Iterable[AnyRecord]) -> None:
        for record in records:
            for fragment, body in split_to_fit(record):
                self.put(queue_of(fragment), body.decode())

    def put(self, queue: str, body: str) -> None:
        """Send a record without splitting it."""
        now = self._clock.now_ms()
        record = _Record(str(next(self._ids)), body, now, now)
        self.records[queue][record.id] = record

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        self.dead.append((queue, body))

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        for receipt, seconds in seconds_by_receipt.items():
            if record := self.records[queue].get(receipt):
                record.visible_at = self._clock.now_ms() + seconds * 1000

    def receive(self, queue: str, most: int, chance: random.Random) -> list[Received]:
        """Up to `most` of the visible records, in any order."""
        now = self._clock.now_ms()
        visible = [record for record in self.records[queue].values() if record.visible_at <= now]
        chance.shuffle(visible)
        received = []
        for record in visible[:most]:
            record.receives += 1
            if record.receives > MAX_RECEIVE_COUNT:
                self.dead.append((queue, self.records[queue].pop(record.id).body))
                continue
            if chance.random() >= _DUPLICATE_SHARE:
                record.visible_at = now + VISIBILITY_TIMEOUT_SECONDS * 1000
            received.append(
                Received(record.id, record.id, record.body, record.receives, record.sent_at)
            )
        return received

    def delete(self, queue: str, ids: Iterable[str]) -> None:
        """Delete processed records."""
        for record_id in ids:
            self.records[queue].pop(record_id, None)


def take_batch(
    ports: Ports, queues: SimulatedQueues, queue: str, most: int, chance: random.Random
) -> tuple[int, Callable[[], None]]:
    """Receive records: how many there are, and the work of a worker on them."""
    received = queues.receive(queue, most, chance)
    return len(received), lambda: _work(ports, queues, queue, received)


def _work(ports: Ports, queues: SimulatedQueues, queue: str, received: Sequence[Received]) -> None:
    now = rfc3339(ports.clock.now_ms())
    decode = _DECODERS.get(queue, lambda body: decode_inbox(body, now))
    handle = _HANDLERS[queue]
    ends_at_ms = ports.clock.now_ms() + _TIMEOUT_MS
    deadline = Deadline(lambda: ends_at_ms - ports.clock.now_ms())
    failed = process_batch(
        ports, queue, received, decode, lambda batch: handle(ports, batch, deadline), deadline
    )
    queues.delete(queue, [item.id for item in received if item.id not in failed])


def repair(ports: Ports) -> None:
    """The tasks of every minute. If one fails, the next minute tries again."""
    with suppress(OrdinalError):
        repair_pending(ports, _deadline(ports))
    with suppress(OrdinalError):
        purge_deleted(ports, _deadline(ports))


def release_idle(ports: Ports, idle_ms: int) -> None:
    """Release the leases of the counters that were idle for this time."""
    with suppress(OrdinalError):
        release_idle_leases(ports, _deadline(ports), idle_ms)


def _deadline(ports: Ports) -> Deadline:
    ends_at_ms = ports.clock.now_ms() + _TASK_MS
    return Deadline(lambda: ends_at_ms - ports.clock.now_ms())
