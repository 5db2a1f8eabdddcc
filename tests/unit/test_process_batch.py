"""Each record of a batch fails alone, with a reason for the operator. Workers stop before their deadline."""

import logging
from collections.abc import Callable, Sequence

import msgspec
import pytest

from chalicelib.domain.errors import (
    BackpressureError,
    DeadlineError,
    OutageError,
    PoisonError,
    UnavailableError,
)
from chalicelib.domain.models import Lease, Message
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.usecases.process_batch import MAX_DELIVERIES, Failures, Received, process_batch
from tests.fakes.ports import FakePorts, far_deadline

NOW = "2026-01-01T00:00:00.000Z"
REFUSED = 13
TIMEOUT_SECONDS = 30
decode = msgspec.json.Decoder(MessagesRecord).decode

Handle = Callable[[Sequence[MessagesRecord]], Failures | None]


def body(*numbers: int, text: str = "", token: str = "t") -> str:
    """A record with these messages."""
    versions = [Message(number=n, revision=n, body=text or str(n), created_at=NOW) for n in numbers]
    record = MessagesRecord(token=token, chat=1, lease=Lease("h", 1, 99), messages=versions)
    return msgspec.json.encode(record).decode()


def received(*bodies: str, receives: int = 1, sent_at_ms: int = 0) -> list[Received]:
    return [
        Received(f"id-{i}", f"receipt-{i}", b, receives, sent_at_ms) for i, b in enumerate(bodies)
    ]


def process(ports: FakePorts, items: Sequence[Received], handle: Handle) -> list[str]:
    """The ids of the records that are delivered again. There is always enough time."""
    return process_batch(ports, "messages", items, decode, handle, far_deadline())


class Storage:
    """Stores the numbers of the messages, and refuses one number, by default as poison."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or PoisonError("thirteen is refused")
        self.stored: list[int] = []
        self.calls = 0

    def __call__(self, batch: Sequence[MessagesRecord]) -> None:
        self.calls += 1
        numbers = [m.number for record in batch for m in record.messages]
        if REFUSED in numbers:
            raise self.error
        self.stored += numbers


class SlowStorage:
    """Stores every record, and takes a fixed time for each message."""

    def __init__(self, ports: FakePorts, seconds_a_message: float) -> None:
        self._ports, self._seconds = ports, seconds_a_message
        self.chunks: list[int] = []

    def __call__(self, batch: Sequence[MessagesRecord]) -> None:
        count = sum(len(record.messages) for record in batch)
        self._ports.clock.wait(count * self._seconds)
        self.chunks.append(count)


def test_a_good_batch_is_handled_at_once() -> None:
    batches: list[int] = []
    items = received(body(1), body(2))
    again = process(FakePorts(), items, lambda batch: batches.append(len(batch)))
    assert (again, batches) == ([], [2])


def test_a_poison_record_is_dead_lettered_alone_with_its_reason() -> None:
    ports, storage = FakePorts(), Storage()
    items = received(*[body(n) for n in range(10, 20)])
    assert process(ports, items, storage) == []
    assert storage.stored == [10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert ports.queues.dead == [("messages", body(13), "thirteen is refused")]


def test_a_poison_message_is_dead_lettered_without_the_others_of_its_record() -> None:
    ports, storage = FakePorts(), Storage()
    items = received(body(1, 2), body(*range(11, 16)), body(20))
    assert process(ports, items, storage) == []
    assert sorted(storage.stored) == [1, 2, 11, 12, 14, 15, 20]
    assert ports.queues.dead == [("messages", body(13), "thirteen is refused")]


def test_a_poison_message_with_characters_that_sqs_refuses_is_dead_lettered() -> None:
    ports, storage = FakePorts(), Storage()
    items = received(body(12, REFUSED, text="\ufffe \uffff \x00").replace("\ufffe", "\\ufffe"))
    assert process(ports, items, storage) == []
    [(_, letter, reason)] = ports.queues.dead
    assert (decode(letter).messages[0].body, reason) == (
        "\ufffe \uffff \x00",
        "thirteen is refused",
    )


def test_an_unreadable_record_is_dead_lettered_and_the_others_are_handled() -> None:
    ports, storage = FakePorts(), Storage()
    newer = body(5).replace('"v":1', '"v":2')
    assert process(ports, received(body(1), "x", newer), storage) == []
    assert storage.stored == [1]
    assert [(q, text) for q, text, _ in ports.queues.dead] == [
        ("messages", "x"),
        ("messages", newer),
    ]
    assert "Invalid enum value 2" in ports.queues.dead[1][2]


@pytest.mark.parametrize(
    "error",
    [
        BackpressureError("too much is waiting", 5),
        UnavailableError("no lease could be acquired in time"),
        ZeroDivisionError("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_record_that_fails_comes_again_alone(error: Exception) -> None:
    ports, storage = FakePorts(), Storage(error)
    items = received(*[body(n) for n in range(10, 20)])
    assert process(ports, items, storage) == ["id-3"]
    assert storage.stored == [10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert list(ports.queues.delays) == ["receipt-3"]
    assert ports.queues.dead == []


def test_a_failure_that_the_handler_returns_is_not_one_of_the_neighbours() -> None:
    ports, calls = FakePorts(), list[int]()

    def handle(batch: Sequence[MessagesRecord]) -> Failures:
        calls.append(len(batch))
        return {
            0: PoisonError("never"),
            2: UnavailableError("not now"),
            3: DeadlineError("no time"),
        }

    assert process(ports, received(*[body(n) for n in range(1, 6)]), handle) == ["id-2", "id-3"]
    assert calls == [5]
    assert ports.queues.dead == [("messages", body(1), "never")]
    assert ports.queues.delays["receipt-2"] > ports.queues.delays["receipt-3"] == 0


def test_an_outage_is_everybody_s_and_nothing_is_halved() -> None:
    ports, storage = FakePorts(), Storage(OutageError("MySQL does not respond"))
    old = ports.clock.now_ms() - 10 * 3600_000
    items = received(*[body(n) for n in range(10, 20)], receives=50, sent_at_ms=old)
    assert process(ports, items, storage) == [item.id for item in items]
    assert (storage.calls, storage.stored, ports.queues.dead) == (1, [], [])
    assert all(seconds >= 450 for seconds in ports.queues.delays.values())


def test_in_an_outage_the_chunks_that_were_not_started_pause_too() -> None:
    ports, storage = FakePorts(), Storage(OutageError("MySQL does not respond"))
    items = received(*[body(n, text="x" * 900_000) for n in (1, REFUSED, 2, 3)])
    assert process(ports, items, storage) == ["id-1", "id-2", "id-3"]
    assert all(ports.queues.delays.values())


def test_a_record_that_can_succeed_later_is_retried_after_a_growing_pause() -> None:
    storage = Storage(UnavailableError("not now"))
    for receives, longest in ((1, 4), (2, 8), (3, 16), (11, 900), (60, 900)):
        ports = FakePorts()
        sent_at_ms = ports.clock.now_ms() - 29 * 60_000
        items = received(body(REFUSED), receives=receives, sent_at_ms=sent_at_ms)
        assert process(ports, items, storage) == ["id-0"]
        assert longest / 2 <= ports.queues.delays["receipt-0"] <= longest


def test_records_that_fail_together_do_not_come_again_together() -> None:
    ports = FakePorts()
    items = received(*[body(REFUSED)] * 100, receives=7)
    process(ports, items, Storage(UnavailableError("not now")))
    assert len(set(ports.queues.delays.values())) > 40


def test_a_record_that_was_only_slow_does_not_start_with_the_longest_pause() -> None:
    ports = FakePorts()
    items = received(body(REFUSED), receives=40, sent_at_ms=ports.clock.now_ms() - 60_000)
    process(ports, items, Storage(UnavailableError("not now")))
    assert ports.queues.delays["receipt-0"] <= 60


@pytest.mark.parametrize(
    ("receives", "age_minutes", "is_dead"),
    [(MAX_DELIVERIES, 60, True), (MAX_DELIVERIES - 1, 60, False), (MAX_DELIVERIES + 50, 5, False)],
)
def test_a_record_that_failed_too_often_is_dead_lettered_with_its_last_error(
    receives: int, age_minutes: int, is_dead: bool
) -> None:
    ports = FakePorts()
    sent_at_ms = ports.clock.now_ms() - age_minutes * 60_000
    items = received(body(1), body(REFUSED), receives=receives, sent_at_ms=sent_at_ms)
    storage = Storage(BackpressureError("too much is waiting to be stored"))
    assert process(ports, items, storage) == ([] if is_dead else ["id-1"])
    letter = (
        "messages",
        body(REFUSED),
        f"failed {receives} times: too much is waiting to be stored",
    )
    assert ports.queues.dead == ([letter] if is_dead else [])


def test_a_poison_record_that_cannot_be_dead_lettered_is_retried() -> None:
    ports = FakePorts()
    ports.queues.is_down = True
    assert process(ports, received("x"), Storage()) == ["id-0"]


def test_an_empty_record_is_done_although_it_names_no_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    ports, storage = FakePorts(), Storage()
    assert process(ports, received(body(), body(1)), storage) == []
    assert storage.stored == [1]
    assert "processed" in caplog.messages


def test_what_the_deadline_leaves_no_time_for_comes_again_at_once() -> None:
    ports = FakePorts()
    storage = SlowStorage(ports, seconds_a_message=0.01)
    items = received(*[body(*range(1, 251)) for _ in range(20)], receives=40)
    started_at_ms = ports.clock.now_ms()
    again = process_batch(
        ports, "search", items, decode, storage, ports.clock.deadline(TIMEOUT_SECONDS)
    )
    assert ports.clock.now_ms() - started_at_ms <= 20_000
    assert again == [f"id-{i}" for i in range(sum(storage.chunks) // 250, 20)]
    assert set(ports.queues.delays.values()) == {0}
    assert ports.metrics.counts["RecordsNotStarted:search"] == len(again)
    assert ports.metrics.counts["RecordsRetried:search"] == 0
    assert ports.queues.dead == []


def test_each_invocation_makes_progress_however_slow_the_work_is() -> None:
    ports = FakePorts()
    storage = SlowStorage(ports, seconds_a_message=25)
    items = received(*[body(n, text="x" * 900_000) for n in range(1, 7)])
    left = {item.id: item for item in items}
    for _ in range(6):
        deadline = ports.clock.deadline(TIMEOUT_SECONDS)
        again = process_batch(ports, "messages", [*left.values()], decode, storage, deadline)
        assert len(again) == len(left) - 1
        left = {id_: left[id_] for id_ in again}
    assert storage.chunks == [1] * 6


def test_the_halves_of_a_batch_stop_before_the_deadline_too() -> None:
    ports = FakePorts()

    def handle(batch: Sequence[MessagesRecord]) -> None:
        ports.clock.wait(4)
        raise UnavailableError("a lock could not be had")

    items = received(*[body(n) for n in range(64)])
    again = process_batch(
        ports, "messages", items, decode, handle, ports.clock.deadline(TIMEOUT_SECONDS)
    )
    assert len(again) == 64
    assert ports.queues.delays["receipt-63"] == 0


def test_dead_letters_stop_before_the_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = FakePorts()
    send = ports.queues.dead_letter

    def slow(*letter: str) -> None:
        ports.clock.wait(1)
        send(*letter)

    monkeypatch.setattr(ports.queues, "dead_letter", slow)
    again = process_batch(
        ports,
        "messages",
        received(*"x" * 40),
        decode,
        Storage(),
        ports.clock.deadline(TIMEOUT_SECONDS),
    )
    assert len(ports.queues.dead) + len(again) == 40
    assert 10 < len(ports.queues.dead) < 20


@pytest.mark.parametrize(("queue", "most_bytes"), [("messages", 5_000_000), ("search", 1_500_000)])
def test_a_chunk_is_bounded_by_bytes(queue: str, most_bytes: int) -> None:
    sizes: list[int] = []

    def handle(batch: Sequence[MessagesRecord]) -> None:
        sizes.append(sum(len(msgspec.json.encode(record)) for record in batch))

    items = received(*[body(n, text="é" * 100_000) for n in range(1, 60)])
    assert process_batch(FakePorts(), queue, items, decode, handle, far_deadline()) == []
    assert max(sizes) <= most_bytes
    assert sizes[0] <= most_bytes / 4 < max(sizes)


def test_a_chunk_is_bounded_by_versions() -> None:
    ports = FakePorts()
    storage = SlowStorage(ports, seconds_a_message=0)
    items = received(*[body(*range(1, 501)) for _ in range(40)])
    assert process(ports, items, storage) == []
    assert storage.chunks[:4] == [1_000, 2_500, 5_000, 5_000]
    assert (sum(storage.chunks), max(storage.chunks)) == (20_000, 5_000)


@pytest.mark.parametrize(("timeout_seconds", "last_start"), [(30, 15), (60, 36), (900, 540)])
def test_no_step_starts_in_the_last_part_of_the_time(timeout_seconds: int, last_start: int) -> None:
    clock, started = FakePorts().clock, 0
    deadline = clock.deadline(timeout_seconds)
    while deadline.allows_step():
        with deadline.step():
            clock.wait(1)
        started += 1
    assert started == last_start + 1
