"""Batches: a record fails alone, and for a reason that someone can read."""

from collections.abc import Sequence

from chalicelib.domain.errors import PoisonError, UnavailableError
from chalicelib.usecases.work_off import Received, work_off
from tests.fakes.queues import FakeQueues


def received(*bodies: str, receives: int = 1) -> list[Received]:
    return [Received(f"id-{b}", f"receipt-{b}", b, receives) for b in bodies]


def decode(body: str) -> int:
    return int(body)


def test_a_good_batch_is_handled_at_once() -> None:
    batches: list[list[int]] = []
    again = work_off(
        FakeQueues(), "messages", received("1", "2"), decode, lambda b: batches.append(list(b))
    )
    assert (again, batches) == ([], [[1, 2]])


def test_a_poison_record_is_buried_alone_with_its_reason() -> None:
    stored: list[int] = []
    queues = FakeQueues()

    def handle(batch: Sequence[int]) -> None:
        if 13 in batch:
            raise PoisonError("thirteen is refused")
        stored.extend(batch)

    bodies = [str(n) for n in range(10, 20)]
    assert work_off(queues, "messages", received(*bodies), decode, handle) == []
    assert stored == [10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert queues.dead == [("messages", "13", "thirteen is refused")]


def test_what_cannot_be_read_is_buried_and_its_neighbours_are_handled() -> None:
    stored: list[int] = []
    queues = FakeQueues()
    assert work_off(queues, "chats", received("1", "x", "2"), decode, stored.extend) == []
    assert stored == [1, 2]
    assert [(q, body) for q, body, _ in queues.dead] == [("chats", "x")]
    assert "invalid literal" in queues.dead[0][2]


def test_what_can_succeed_later_comes_again_after_a_growing_pause() -> None:
    def handle(_: Sequence[int]) -> None:
        raise UnavailableError("MySQL is away")

    pauses = []
    for receives in (1, 2, 3, 12):
        queues = FakeQueues()
        assert work_off(queues, "messages", received("1", receives=receives), decode, handle) == [
            "id-1"
        ]
        pauses.append(queues.delays["receipt-1"])
    assert pauses == [4, 8, 16, 900]


def test_a_poison_record_that_cannot_be_buried_comes_again() -> None:
    queues = FakeQueues()
    queues.away = True
    assert work_off(queues, "messages", received("x"), decode, lambda _: None) == ["id-x"]
