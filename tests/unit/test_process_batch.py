"""Each record of a batch fails alone, and with a reason for the operator."""

from collections.abc import Sequence

import msgspec

from chalicelib.domain.errors import PoisonError, UnavailableError
from chalicelib.domain.models import Lease, Message
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.usecases.process_batch import Received, process_batch
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
REFUSED = 13
decode = msgspec.json.Decoder(MessagesRecord).decode


def body(*numbers: int) -> str:
    """A record with these messages."""
    versions = [Message(number=n, revision=n, body=str(n), created_at=NOW) for n in numbers]
    record = MessagesRecord(token="t", chat=1, lease=Lease("h", 1, 99), messages=versions)
    return msgspec.json.encode(record).decode()


def received(*bodies: str, receives: int = 1) -> list[Received]:
    return [
        Received(f"id-{i}", f"receipt-{i}", b, receives, sent_at_ms=0) for i, b in enumerate(bodies)
    ]


class Storage:
    """Stores the numbers of the messages, and refuses one number as poison."""

    def __init__(self) -> None:
        self.stored: list[int] = []

    def __call__(self, batch: Sequence[MessagesRecord]) -> None:
        numbers = [m.number for record in batch for m in record.messages]
        if REFUSED in numbers:
            raise PoisonError("thirteen is refused")
        self.stored += numbers


def test_a_good_batch_is_handled_at_once() -> None:
    batches: list[int] = []
    items = received(body(1), body(2))
    again = process_batch(FakePorts(), "messages", items, decode, lambda b: batches.append(len(b)))
    assert (again, batches) == ([], [2])


def test_a_poison_record_is_dead_lettered_alone_with_its_reason() -> None:
    ports, storage = FakePorts(), Storage()
    items = received(*[body(n) for n in range(10, 20)])
    assert process_batch(ports, "messages", items, decode, storage) == []
    assert storage.stored == [10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert ports.queues.dead == [("messages", body(13), "thirteen is refused")]


def test_a_poison_message_is_dead_lettered_without_the_others_of_its_record() -> None:
    ports, storage = FakePorts(), Storage()
    items = received(body(1, 2), body(*range(11, 16)), body(20))
    assert process_batch(ports, "messages", items, decode, storage) == []
    assert sorted(storage.stored) == [1, 2, 11, 12, 14, 15, 20]
    assert ports.queues.dead == [("messages", body(13), "thirteen is refused")]


def test_an_unreadable_record_is_dead_lettered_and_the_others_are_handled() -> None:
    ports, storage = FakePorts(), Storage()
    newer = body(5).replace('"v":1', '"v":2')
    assert process_batch(ports, "messages", received(body(1), "x", newer), decode, storage) == []
    assert storage.stored == [1]
    assert [(q, text) for q, text, _ in ports.queues.dead] == [
        ("messages", "x"),
        ("messages", newer),
    ]
    assert "Invalid enum value 2" in ports.queues.dead[1][2]


def test_a_record_that_can_succeed_later_is_retried_after_a_growing_pause() -> None:
    def handle(_: Sequence[MessagesRecord]) -> None:
        raise UnavailableError("MySQL is down")

    pauses = []
    for receives in (1, 2, 3, 12):
        ports = FakePorts()
        items = received(body(1), receives=receives)
        assert process_batch(ports, "messages", items, decode, handle) == ["id-0"]
        pauses.append(ports.queues.delays["receipt-0"])
    assert pauses == [4, 8, 16, 900]


def test_a_poison_record_that_cannot_be_dead_lettered_is_retried() -> None:
    ports = FakePorts()
    ports.queues.is_down = True
    assert process_batch(ports, "messages", received("x"), decode, Storage()) == ["id-0"]
