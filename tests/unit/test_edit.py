"""Edits and deletions: the newest accepted state wins, wherever the states are."""

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    RevisionMismatchError,
    UnavailableError,
)
from chalicelib.domain.idempotency import Changed, IdempotencyMark
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import Page
from chalicelib.domain.rate_limits import Allowance, bucket
from chalicelib.domain.requests import ChatChange, MessageChange
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.accept import accept_chat, accept_messages
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.read import current_message, get_chat, list_messages
from tests.fakes.ledger import FakeLedger
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)
DRAFT = Message(number=0, revision=0, body="first", sender="ann", created_at=NOW)


@pytest.fixture(autouse=True)
def a_message(world: FakeWorld, tenant: Tenant) -> None:
    accept_chat(world, tenant, CHAT)
    accept_messages(world, tenant, 1, [DRAFT])


def body(world: FakeWorld, tenant: Tenant) -> str:
    return current_message(world, tenant, 1, 1).state.body


@pytest.mark.parametrize("persisted", [False, True])
def test_an_edit_is_read_at_once_and_after_it_is_persisted(
    world: FakeWorld, tenant: Tenant, persisted: bool
) -> None:
    if persisted:
        world.persist()
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="second"))
    assert body(world, tenant) == "second"
    world.persist()
    assert body(world, tenant) == "second"


def test_an_older_state_that_comes_late_changes_nothing(world: FakeWorld, tenant: Tenant) -> None:
    world.persist()
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="second"))
    late = world.queues.take("messages")
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="third"))
    world.persist()
    world.queues.sent["messages"] = late
    world.persist()
    assert body(world, tenant) == "third"


def test_a_change_in_between_is_made_again_on_the_newer_state(
    world: FakeWorld, tenant: Tenant
) -> None:
    others = ["x"]

    def change(message: Message) -> Message:
        if others:
            edit_message(world, tenant, 1, 1, lambda m: replace(m, sender=others.pop()))
        return replace(message, body=message.body + "!")

    edit_message(world, tenant, 1, 1, change)
    state = current_message(world, tenant, 1, 1).state
    assert (state.body, state.sender) == ("first!", "x")


def test_endless_changes_in_between_end_in_a_conflict(world: FakeWorld, tenant: Tenant) -> None:
    def change(message: Message) -> Message:
        edit_message(world, tenant, 1, 1, lambda m: replace(m, body="other"))
        return message

    with pytest.raises(ConflictError):
        edit_message(world, tenant, 1, 1, change)


def test_if_match_lets_only_the_seen_revision_be_changed(world: FakeWorld, tenant: Tenant) -> None:
    seen = current_message(world, tenant, 1, 1).state.revision
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="second"), seen)
    with pytest.raises(RevisionMismatchError):
        edit_message(world, tenant, 1, 1, lambda m: replace(m, body="third"), seen)


def test_an_edit_that_meets_others_slowly_is_given_up_within_seconds(
    world: FakeWorld, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        world.clock.wait(0.8)
        raise ConflictError("another one was faster")

    started = world.clock.now_ms()
    monkeypatch.setattr(world.ledger, "edit", slow)
    with pytest.raises(ConflictError):
        edit_message(world, tenant, 1, 1, lambda m: replace(m, body="never"))
    assert world.clock.now_ms() - started < 3_000


def test_a_deleted_message_keeps_its_number_and_leaves_lists_and_counts(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_messages(world, tenant, 1, [DRAFT])
    world.persist()
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="", deleted_at=NOW))
    for _ in range(2):
        with pytest.raises(GoneError):
            current_message(world, tenant, 1, 1)
        numbers = [m.number for m in list_messages(world, tenant, 1, Page(limit=10)).items]
        assert numbers == [2]
        world.persist()
    assert get_chat(world, tenant, 1)[0].messages_count == 1
    assert accept_messages(world, tenant, 1, [DRAFT]).first == 3


def test_what_is_not_there_is_not_found(world: FakeWorld, tenant: Tenant) -> None:
    with pytest.raises(NotFoundError):
        edit_message(world, tenant, 1, 2, lambda m: m)
    with pytest.raises(NotFoundError):
        edit_message(world, tenant, 2, 1, lambda m: m)
    with pytest.raises(NotFoundError):
        edit_chat(world, tenant, 2, lambda c: c)


def test_a_chats_title_changes_and_its_counts_stay(world: FakeWorld, tenant: Tenant) -> None:
    world.persist()
    row = edit_chat(world, tenant, 1, lambda c: replace(c, title="new")).state
    assert (row.chat.title, row.messages_count) == ("new", 1)
    world.persist()
    assert get_chat(world, tenant, 1)[0].chat.title == "new"


# --- retries with an Idempotency-Key

MARK = IdempotencyMark("key", "fingerprint")


def edited(
    world: FakeWorld, tenant: Tenant, body: str, mark: IdempotencyMark = MARK
) -> Changed[Message]:
    now = rfc3339(world.clock.now_ms())
    change = MessageChange(body=body)
    return edit_message(world, tenant, 1, 1, lambda m: change.apply(m, now), None, mark)


def test_a_retried_edit_is_made_once_and_answered_alike_whatever_came_since(
    world: FakeWorld, tenant: Tenant
) -> None:
    first = edited(world, tenant, "second")
    world.clock.wait(5)
    world.persist()
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="third", sender="bob"))
    world.persist()
    again = edited(world, tenant, "second")
    assert (again.state, again.replayed) == (first.state, True)
    assert body(world, tenant) == "third"


def test_a_retry_is_answered_also_where_if_match_names_what_was(
    world: FakeWorld, tenant: Tenant
) -> None:
    seen = current_message(world, tenant, 1, 1).state.revision
    answers = [
        edit_message(world, tenant, 1, 1, lambda m: replace(m, body="second"), seen, MARK)
        for _ in range(2)
    ]
    assert [(a.state.revision, a.replayed) for a in answers] == [
        (seen + 1, False),
        (seen + 1, True),
    ]


def test_a_retried_deletion_is_answered_alike_and_not_told_that_it_is_gone(
    world: FakeWorld, tenant: Tenant
) -> None:
    def delete_message() -> tuple[int, bool]:
        done = edit_message(
            world, tenant, 1, 1, lambda m: replace(m, body="", deleted_at=NOW), None, MARK
        )
        return done.state.revision, done.replayed

    def delete_chat() -> tuple[int, bool]:
        mark = IdempotencyMark("another key", "fingerprint")
        done = edit_chat(world, tenant, 1, lambda c: replace(c, deleted_at=NOW), None, mark)
        return done.state.chat.revision, done.replayed

    for delete in (delete_message, delete_chat):
        revision, _ = delete()
        for _ in range(2):
            assert delete() == (revision, True)
            world.persist()
    assert delete_message()[1]


def test_a_retried_change_of_a_chat_has_the_counts_of_the_first_answer(
    world: FakeWorld, tenant: Tenant
) -> None:
    world.persist()
    now = rfc3339(world.clock.now_ms())
    change = ChatChange(title=None, metadata={"a": 1})
    answers = []
    for _ in range(2):
        answers.append(edit_chat(world, tenant, 1, lambda c: change.apply(c, now), None, MARK))
        accept_messages(world, tenant, 1, [DRAFT])
        world.persist()
    first, again = (answer.state for answer in answers)
    assert again == replace(first, chat=replace(first.chat, messages_lease=None))
    assert (again.messages_count, again.chat.metadata) == (1, {"a": 1})


def test_a_retry_after_a_failed_send_sends_the_edit(world: FakeWorld, tenant: Tenant) -> None:
    world.persist()
    world.queues.away = True
    with pytest.raises(UnavailableError):
        edited(world, tenant, "second")
    with pytest.raises(UnavailableError):
        edited(world, tenant, "second")
    world.queues.away = False
    assert edited(world, tenant, "second").replayed
    assert len(world.queues.sent["messages"]) == 1
    world.persist()
    stored = world.store.get_message(tenant.token, 1, 1)
    assert stored is not None
    assert stored.body == "second"


def test_of_two_at_once_with_one_key_the_later_gets_the_answer_of_the_other(
    world: FakeWorld, tenant: Tenant
) -> None:
    inner: list[Changed[Message]] = []

    def change(message: Message) -> Message:
        if not inner:
            inner.append(edited(world, tenant, "second"))
        return replace(message, body="second")

    outer = edit_message(world, tenant, 1, 1, change, None, MARK)
    assert outer.replayed
    assert outer.state == inner[0].state


def test_a_key_of_another_edit_is_refused(world: FakeWorld, tenant: Tenant) -> None:
    edited(world, tenant, "second")
    with pytest.raises(KeyReusedError):
        edited(world, tenant, "third", IdempotencyMark("key", "another"))


def test_what_a_retry_brings_is_not_kept(world: FakeWorld, tenant: Tenant) -> None:
    edited(world, tenant, "x" * 10_000)
    marks = [v for k, v in world.ledger.server.memory.values.items() if b":mark:" in k]
    assert [len(str(mark)) < 1_000 for mark in marks] == [True]
    assert len(edited(world, tenant, "x" * 10_000).state.body) == 10_000


def test_an_edit_takes_once_from_the_allowance_however_often_it_looks(
    world: FakeWorld, tenant: Tenant
) -> None:
    allowance = Allowance(bucket(1))
    others = ["x", "y"]

    def change(message: Message) -> Message:
        if others:
            edit_message(world, tenant, 1, 1, lambda m: replace(m, sender=others.pop()))
        return replace(message, body="second")

    edit_message(world, replace(tenant, allowance=allowance), 1, 1, change)
    assert [left.left for left in allowance.left] == [499]


def test_a_chat_that_was_deleted_takes_nothing_after_redis_lost_its_memory(
    world: FakeWorld, tenant: Tenant
) -> None:
    world.persist()
    edit_chat(world, tenant, 1, lambda chat: replace(chat, deleted_at=NOW))
    world.ledger.wipe()
    accept_messages(world, tenant, 1, [DRAFT])
    world.persist()
    with pytest.raises(GoneError):
        accept_messages(world, tenant, 1, [DRAFT])


def test_an_edit_in_a_memory_that_was_left_behind_wins_over_what_was_made_in_the_other(
    world: FakeWorld, tenant: Tenant
) -> None:
    """Two primaries, one of which is alone again: what the other one accepted is still on its way."""
    world.persist()
    left_behind, other = world.ledger, FakeLedger(world.clock, world.lease_window)
    for ledger, text in ((other, "there"), (left_behind, "here")):
        world.ledger = ledger
        edit_message(world, tenant, 1, 1, lambda m, text=text: replace(m, body=text))  # type: ignore[misc]
    world.persist()
    assert body(world, tenant) == "here"
