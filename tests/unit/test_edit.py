"""Edits and deletions: the newest accepted state wins, wherever the states are."""

import pytest
from msgspec.structs import replace

from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    NotFoundError,
    RevisionMismatchError,
)
from chalicelib.domain.numbering import Page
from chalicelib.domain.records import Chat, Message
from chalicelib.domain.tenants import Tenant
from chalicelib.usecases.accept_chat import accept_chat
from chalicelib.usecases.accept_edit import edit_chat, edit_message
from chalicelib.usecases.accept_messages import accept_messages
from chalicelib.usecases.current import current_message
from chalicelib.usecases.get_chat import get_chat
from chalicelib.usecases.list_messages import list_messages
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
    row = edit_chat(world, tenant, 1, lambda c: replace(c, title="new"))
    assert (row.chat.title, row.messages_count) == ("new", 1)
    world.persist()
    assert get_chat(world, tenant, 1)[0].chat.title == "new"
