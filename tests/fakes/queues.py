"""The `Queues` port in memory. It encodes and splits records as the real adapter does."""

from collections.abc import Iterable, Mapping

from chalicelib.adapters.aws import queue_of, split_to_fit
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.queue_records import AnyRecord
from chalicelib.settings import QUEUES


class FakeQueues:
    """`is_down` makes every call fail. `dead` holds (queue, body, reason) of dead letters."""

    def __init__(self) -> None:
        self.sent: dict[str, list[str]] = {queue: [] for queue in QUEUES}
        self.dead: list[tuple[str, str, str]] = []
        self.delays: dict[str, int] = {}
        self.is_down = False

    def send(self, records: Iterable[AnyRecord]) -> None:
        for record in records:
            self.ping()
            for part, body in split_to_fit(record):
                self.sent[queue_of(part)].append(body.decode())

    def dead_letter(self, queue: str, body: str, reason: str) -> None:
        self.ping()
        self.dead.append((queue, body, reason))

    def dead_letters(self) -> dict[str, int]:
        self.ping()
        dead_lettered = [queue for queue, _, _ in self.dead]
        return {queue: dead_lettered.count(queue) for queue in self.sent}

    def delay(self, queue: str, seconds_by_receipt: Mapping[str, int]) -> None:
        self.ping()
        self.delays.update(seconds_by_receipt)

    def ping(self) -> None:
        if self.is_down:
            raise UnavailableError("SQS is down")

    def take(self, queue: str) -> list[str]:
        """Take all records off a queue."""
        taken, self.sent[queue] = self.sent[queue], []
        return taken
