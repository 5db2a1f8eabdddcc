"""All fakes together, and `persist`, which runs the workers on the queued records."""

from typing import Any

import msgspec

from chalicelib.domain.queue_records import ChatsRecord, MessagesRecord, SearchRecord
from chalicelib.domain.times import Deadline
from chalicelib.settings import Settings
from chalicelib.usecases.persist import persist_chats, persist_messages
from chalicelib.usecases.search import index_messages
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import FakeMetrics
from tests.fakes.queues import FakeQueues
from tests.fakes.search_index import FakeSearchIndex
from tests.fakes.sequencer import InMemorySequencer
from tests.fakes.store import FakeStore

SETTINGS = Settings(master_key="a master key", admin_key="an admin key", lease_window=10)


def far_deadline() -> Deadline:
    """The deadline of a task that always has time."""
    return Deadline(lambda: 60_000)


class FakePorts:
    """The `Ports` with fakes instead of Redis, MySQL, SQS and OpenSearch. A lease has ten numbers."""

    settings = SETTINGS
    master_key = SETTINGS.master_key
    admin_key = SETTINGS.admin_key
    lease_window = SETTINGS.lease_window

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sequencer = InMemorySequencer(self.clock, self.lease_window)
        self.store = FakeStore()
        self.queues = FakeQueues()
        self.index = FakeSearchIndex()
        self.metrics = FakeMetrics()

    def persist(self) -> None:
        """Run the workers on everything in the queues `chats`, `messages` and `search`."""
        work: list[tuple[str, Any, Any]] = [
            ("chats", ChatsRecord, persist_chats),
            ("messages", MessagesRecord, persist_messages),
            ("search", SearchRecord, lambda p, r: index_messages(p, r, far_deadline())),
        ]
        for queue, kind, handle in work:
            records = [msgspec.json.decode(body, type=kind) for body in self.queues.take(queue)]
            if records:
                handle(self, records)
