"""SQS with its times: a record that is taken comes again unless it is deleted, and may come twice."""

import random
from collections.abc import Iterable, Mapping
from itertools import count

import msgspec

from chalicelib.adapters.sqs import queue_of, split_to_fit
from chalicelib.domain.queue_records import AnyRecord
from chalicelib.settings import QUEUES
from chalicelib.usecases.ports import Clock
from chalicelib.usecases.process_batch import Received
from infra.deploy.queues import MAX_RECEIVE_COUNT, VISIBILITY_TIMEOUT_SECONDS

_TWICE = 0.1


class _Record(msgspec.Struct):
    id: str
    body: str
    visible_at: int
    sent_at: int
    receives: int = 0


class SimulatedQueues:
    """`dead` holds (queue, body)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = count(1)
        self.records: dict[str, dict[str, _Record]] = {queue: {} for queue in QUEUES}
        self.dead: list[tuple[str, str]] = []

    def send(self, records: Iterable[AnyRecord]) -> None:
        for record in records:
            for part, body in split_to_fit(record):
                self.put(queue_of(part), body.decode())

    def put(self, queue: str, body: str) -> None:
        """Send a record, as it is."""
        now = self._clock.now_ms()
        kept = _Record(str(next(self._ids)), body, now, now)
        self.records[queue][kept.id] = kept

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        self.dead.append((queue, body))

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        for receipt, seconds in seconds_by_receipt.items():
            if record := self.records[queue].get(receipt):
                record.visible_at = self._clock.now_ms() + seconds * 1000

    def receive(self, queue: str, most: int, chance: random.Random) -> list[Received]:
        """Some of what is visible, in any order."""
        now = self._clock.now_ms()
        visible = [record for record in self.records[queue].values() if record.visible_at <= now]
        chance.shuffle(visible)
        received = []
        for record in visible[:most]:
            record.receives += 1
            if record.receives > MAX_RECEIVE_COUNT:
                self.dead.append((queue, self.records[queue].pop(record.id).body))
                continue
            if chance.random() >= _TWICE:
                record.visible_at = now + VISIBILITY_TIMEOUT_SECONDS * 1000
            received.append(
                Received(record.id, record.id, record.body, record.receives, record.sent_at)
            )
        return received

    def done(self, queue: str, ids: Iterable[str]) -> None:
        """Delete records that were worked off."""
        for one in ids:
            self.records[queue].pop(one, None)
