"""Imports into the real application on fakes: continued, repeated, interrupted, and with other content."""

from collections.abc import Callable, Iterator

import pytest

from chalicelib.domain.requests import MessageRequest
from chatctl.sources.base import Source
from tests.unit.chatctl_service import Operator

LENGTH = 1_250


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(monkeypatch)


def log(
    title: str = "a day", count: int = LENGTH, text: str = "message", truncated: bool = False
) -> Source:
    def read() -> Iterator[MessageRequest]:
        for i in range(1, count + 1):
            yield MessageRequest(body=f"{text} {i} of {title}", sender=f"nick{i % 7}")

    return Source(f"{title}.txt", title, {"source": f"{title}.txt"}, count, read, truncated)


def holds(operator: Operator, source: Source) -> bool:
    """Whether the chat has all messages, in order, with numbers from 1."""
    expected = [(i, m.body, m.sender) for i, m in enumerate(source.read(), 1)]
    return operator.chat(operator.titles()[source.title]) == expected


def test_message_k_of_a_source_becomes_number_k_of_its_chat(operator: Operator) -> None:
    days = [log("monday"), log("tuesday", 3), log("wednesday", 500)]
    assert operator.import_(days, parallel=3) == []
    assert all(holds(operator, day) for day in days)
    assert (operator.progress.sent, operator.progress.already_present) == (LENGTH + 503, 0)
    assert operator.progress.chats_done == 3


def test_all_chats_are_created_before_any_is_filled(operator: Operator) -> None:
    operator.import_([log(f"day {i}", 3) for i in range(9)], parallel=2)
    last = [r.url.path.rsplit("/", 1)[1] for r in operator.service.requests if r.method == "POST"]
    # One thread may create the ninth chat while the other begins to fill.
    assert last[:8] == ["chats"] * 8
    assert sorted(last) == ["batch"] * 9 + ["chats"] * 9


@pytest.mark.parametrize("persisted", [True, False])
def test_a_second_run_sends_nothing(operator: Operator, persisted: bool) -> None:
    operator.import_([log()])
    if persisted:
        operator.service.ports.persist()
    sent = len(operator.service.keys_of_batches())
    assert operator.import_([log()]) == []
    assert len(operator.service.keys_of_batches()) == sent
    assert (operator.progress.sent, operator.progress.already_present) == (0, LENGTH)
    assert len(operator.titles()) == 1


def test_a_second_run_a_day_later_sends_nothing_although_no_key_is_stored(
    operator: Operator,
) -> None:
    operator.import_([log()])
    ports = operator.service.ports
    ports.persist()
    ports.clock.wait(25 * 3600)
    ports.sequencer.wipe()
    assert operator.import_([log()]) == []
    assert holds(operator, log())


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("killed_at", range(3))
def test_a_killed_run_is_finished_by_the_next(operator: Operator, how: str, killed_at: int) -> None:
    operator.service.fail_posts = lambda n: how if n >= killed_at else None
    assert "gave up after 60 s without progress" in operator.import_([log(), log("another")])[0]
    operator.service.fail_posts = lambda n: None
    assert operator.import_([log(), log("another")]) == []
    assert holds(operator, log())
    assert holds(operator, log("another"))


def test_a_request_whose_response_was_lost_is_resent_with_the_same_key(
    operator: Operator,
) -> None:
    operator.service.fail_posts = lambda n: "after" if n in (0, 1, 3) else None
    assert operator.import_([log()]) == []
    assert holds(operator, log())
    keys = operator.service.keys_of_batches()
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_two_runs_at_the_same_time_create_one_chat(operator: Operator) -> None:
    interfered = False

    def second_run(n: int) -> None:
        nonlocal interfered
        if not interfered:
            interfered = True
            assert operator.import_([log()]) == []

    operator.service.fail_posts = second_run
    assert operator.import_([log()]) == []
    assert holds(operator, log())


def test_a_source_that_has_grown_is_continued(operator: Operator) -> None:
    operator.import_([log(count=700)])
    assert operator.import_([log(count=1_600)]) == []
    assert holds(operator, log(count=1_600))
    assert (operator.progress.already_present, operator.progress.sent) == (700, 900)


def test_a_chat_that_has_more_messages_than_the_source_is_not_changed(operator: Operator) -> None:
    operator.import_([log(count=20)])
    assert operator.import_([log(count=10)]) == [
        "a day.txt: chat 1 has 20 messages, the source has 10"
    ]
    assert operator.import_([log(count=10, truncated=True)]) == []


def test_a_chat_with_other_content_is_not_changed(operator: Operator) -> None:
    operator.import_([log(count=20)])
    (failure,) = operator.import_([log(count=30, text="other"), log("fine", 5)])
    assert failure == (
        "a day.txt: number 20 of chat 1 is not message 20 of the source: the chat holds something else"
    )
    assert len(operator.chat(1)) == 20
    assert holds(operator, log("fine", 5))


Change = Callable[[Operator], None]


def edited(operator: Operator) -> None:
    operator.client().edit_message(1, 20, body="corrected")


def deleted(operator: Operator) -> None:
    operator.client().delete_message(1, 20)


@pytest.mark.parametrize("change", [edited, deleted])
@pytest.mark.parametrize("persisted", [True, False])
def test_a_last_message_that_was_edited_since_is_not_resent(
    operator: Operator, change: Change, persisted: bool
) -> None:
    operator.import_([log(count=20)])
    operator.service.ports.persist()
    change(operator)
    if persisted:
        operator.service.ports.persist()
    assert operator.import_([log(count=25)]) == []
    assert [n for n, _, _ in operator.chat(1)][-5:] == [21, 22, 23, 24, 25]
    assert operator.progress.sent == 5


def test_a_deleted_chat_is_created_again_the_same_day(operator: Operator) -> None:
    operator.import_([log()])
    operator.client().delete_chat(1)
    assert operator.import_([log()]) == []
    assert operator.titles() == {"a day": 2}
    assert holds(operator, log())


def test_numbers_that_the_service_skipped_are_not_counted(operator: Operator) -> None:
    operator.import_([log(count=700)])
    operator.service.ports.persist()
    operator.service.ports.sequencer.wipe()
    assert operator.import_([log(count=1_600)]) == []
    operator.service.ports.persist()
    assert operator.import_([log(count=1_600)]) == []
    assert (operator.progress.already_present, operator.progress.sent) == (1_600, 0)
    numbers = [number for number, _, _ in operator.chat(1)]
    assert len(numbers) == 1_600 < numbers[-1]


def test_a_run_continues_after_redis_loses_its_data(operator: Operator) -> None:
    def wipe(n: int) -> None:
        if n == 1:
            operator.service.ports.persist()
            operator.service.ports.sequencer.wipe()

    operator.service.fail_posts = wipe
    assert operator.import_([log(count=1_600)]) == []
    assert [body for _, body, _ in operator.chat(1)] == [m.body for m in log(count=1_600).read()]


def test_messages_of_another_client_end_the_import_of_a_chat(operator: Operator) -> None:
    def intrude(n: int) -> None:
        if n == 1:
            operator.client().create_message(1, "hi")

    operator.service.fail_posts = intrude
    (failure,) = operator.import_([log(count=1_600)])
    assert "message 501 became number 502 of chat 1 instead of 501" in failure


def test_a_title_that_two_chats_have_is_refused(operator: Operator) -> None:
    for _ in range(2):
        operator.client().create_chat("a day")
    assert operator.import_([log()]) == ["a day.txt: chats 1, 2 all have the title 'a day'"]


def test_a_refused_chat_does_not_stop_the_others(operator: Operator) -> None:
    (failure,) = operator.import_([log("x" * 300, 3), log("fine", 5)])
    assert "422 The request breaks a rule" in failure
    assert holds(operator, log("fine", 5))


def test_an_outage_ends_the_run_once_and_not_once_a_chat(operator: Operator) -> None:
    operator.service.fail_posts = lambda n: 503
    failures = operator.import_([log(f"day {i}", 3) for i in range(9)])
    assert len(failures) == 2
    assert failures[0].startswith("gave up after 60 s without progress: 503")
    assert failures[1] == "8 more chats were not finished"
    assert sum(operator.pauses) <= 60
