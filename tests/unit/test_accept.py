"""Accepting: numbers, leases, retries, and what happens when a part fails in between."""

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    GoneError,
    KeyReusedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyMark
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.number_ranges import Numbers
from chalicelib.domain.paging import Page
from chalicelib.usecases.accept import accept_chat, accept_messages
from chalicelib.usecases.edit import edit_chat
from chalicelib.usecases.read import get_chat, list_messages
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)


def draft(body: str = "hello") -> Message:
    return Message(number=0, revision=0, body=body, created_at=NOW)


def bodies(world: FakeWorld, tenant: Tenant, chat: int) -> dict[int, str]:
    listed = list_messages(world, tenant, chat, Page(limit=100))
    return {m.number: m.body for m in listed.items}


def test_chats_and_messages_are_numbered_from_one(world: FakeWorld, tenant: Tenant) -> None:
    assert [accept_chat(world, tenant, CHAT).first for _ in range(3)] == [1, 2, 3]
    assert [accept_messages(world, tenant, 2, [draft()]).first for _ in range(3)] == [1, 2, 3]


def test_numbers_go_on_without_a_hole_far_beyond_one_lease(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    world.persist()
    given = []
    for i in range(60):
        given.append(accept_messages(world, tenant, 1, [draft()]).first)
        if i % 7 == 0:
            world.persist()
    world.persist()
    assert given == list(range(1, 61))
    assert get_chat(world, tenant, 1)[1] == []


def test_a_burst_over_the_first_lease_waits_for_the_chats_row(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    accept_messages(world, tenant, 1, [draft()] * 10)
    with pytest.raises(UnavailableError):
        accept_messages(world, tenant, 1, [draft()])
    world.persist()
    assert accept_messages(world, tenant, 1, [draft()]).first == 11


def test_a_wiped_memory_skips_numbers_and_never_reuses_one(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    for _ in range(3):
        accept_messages(world, tenant, 1, [draft()])
    world.persist()
    world.ledger.wipe()
    after = accept_messages(world, tenant, 1, [draft()]).first
    ceiling = after - 1
    world.persist()
    assert after > 3
    assert get_chat(world, tenant, 1)[1] == [Numbers(4, ceiling)]
    assert sorted(bodies(world, tenant, 1)) == [1, 2, 3, after]


def test_a_restored_memory_begins_anew(world: FakeWorld, tenant: Tenant) -> None:
    accept_chat(world, tenant, CHAT)
    accept_messages(world, tenant, 1, [draft()])
    world.persist()
    world.ledger.restart()
    assert accept_messages(world, tenant, 1, [draft()]).first > 10
    assert accept_chat(world, tenant, CHAT).first > 10


def test_a_chat_whose_counter_is_lost_before_its_row_is_there_waits(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    world.ledger.wipe()
    with pytest.raises(UnavailableError):
        accept_messages(world, tenant, 1, [draft()])
    world.persist()
    assert accept_messages(world, tenant, 1, [draft()]).first > 10


def test_a_chat_that_was_never_made_is_not_found(world: FakeWorld, tenant: Tenant) -> None:
    accept_chat(world, tenant, CHAT)
    with pytest.raises(NotFoundError):
        accept_messages(world, tenant, 2, [draft()])


def test_an_application_that_was_never_made_is_not_found(world: FakeWorld) -> None:
    with pytest.raises(NotFoundError):
        accept_chat(world, Tenant("f" * 30, 1), CHAT)


def test_a_key_of_another_version_is_refused(world: FakeWorld, tenant: Tenant) -> None:
    with pytest.raises(UnauthenticatedError):
        accept_chat(world, replace(tenant, key_version=2), CHAT)


def test_a_retry_after_a_failed_send_is_one_message(world: FakeWorld, tenant: Tenant) -> None:
    accept_chat(world, tenant, CHAT)
    world.persist()
    mark = IdempotencyMark("key", "fingerprint")
    world.queues.away = True
    with pytest.raises(UnavailableError):
        accept_messages(world, tenant, 1, [draft()], mark)
    world.queues.away = False
    assert accept_messages(world, tenant, 1, [draft()], mark).first == 1
    world.persist()
    assert accept_messages(world, tenant, 1, [draft()], mark).first == 1
    world.persist()
    assert bodies(world, tenant, 1) == {1: "hello"}
    assert get_chat(world, tenant, 1)[0].messages_count == 1


def test_a_key_with_another_body_is_refused(world: FakeWorld, tenant: Tenant) -> None:
    accept_chat(world, tenant, CHAT, IdempotencyMark("key", "one"))
    with pytest.raises(KeyReusedError):
        accept_chat(world, tenant, CHAT, IdempotencyMark("key", "two"))


def test_writers_read_their_own_writes_before_mysql_has_them(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    accept_messages(world, tenant, 1, [draft("a"), draft("b")])
    assert bodies(world, tenant, 1) == {2: "b", 1: "a"}
    assert get_chat(world, tenant, 1)[0].chat.title == "a chat"


def test_a_message_can_be_persisted_before_its_chat(world: FakeWorld, tenant: Tenant) -> None:
    accept_chat(world, tenant, CHAT)
    accept_messages(world, tenant, 1, [draft()])
    held_back = world.queues.take("chats")
    world.persist()
    world.queues.sent["chats"] = held_back
    world.persist()
    row, skipped = get_chat(world, tenant, 1)
    assert (row.chat.title, row.messages_count, skipped) == ("a chat", 1, [])


def test_a_deleted_chat_takes_no_message_and_a_late_record_does_not_bring_it_back(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    accept_messages(world, tenant, 1, [draft()])
    late = world.queues.take("messages") + world.queues.take("chats")
    edit_chat(world, tenant, 1, lambda c: replace(c, deleted_at=NOW))
    with pytest.raises(GoneError):
        accept_messages(world, tenant, 1, [draft()])
    world.persist()
    world.queues.sent["messages"], world.queues.sent["chats"] = late[:1], late[1:]
    world.persist()
    world.ledger.wipe()
    with pytest.raises(GoneError):
        get_chat(world, tenant, 1)
    with pytest.raises(GoneError):
        accept_messages(world, tenant, 1, [draft()])
    application = world.store.get_application(tenant.token)
    assert application is not None
    assert application.chats_count == 0


def test_a_memory_that_was_lost_is_told_of_a_deletion_once_it_is_persisted(
    world: FakeWorld, tenant: Tenant
) -> None:
    accept_chat(world, tenant, CHAT)
    world.persist()
    edit_chat(world, tenant, 1, lambda chat: replace(chat, deleted_at=NOW))
    world.ledger.wipe()
    accept_messages(world, tenant, 1, [draft()])  # a lease begins: the chat's row still lives
    world.persist()
    with pytest.raises(GoneError):
        accept_messages(world, tenant, 1, [draft()])
