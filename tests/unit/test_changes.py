"""The change feed of a chat: it returns what is stored, and it continues from a position."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.change_feed import Changes, Since, parse_since
from chalicelib.domain.errors import GoneError, InvalidError, NotFoundError
from chalicelib.domain.limits import MAX_NUMBER
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.queue_records import MessagesRecord
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_chat, edit_message
from chalicelib.usecases.persist import persist_messages
from chalicelib.usecases.read import list_changes
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def chat(ports: FakePorts, tenant: Tenant) -> int:
    return create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW)).value.number


def post(ports: FakePorts, tenant: Tenant, chat: int, *bodies: str) -> int:
    drafts = [Message(number=0, revision=0, body=body, created_at=NOW) for body in bodies]
    return create_messages(ports, tenant, chat, drafts).value.first


def types_and_numbers(changes: Changes) -> list[tuple[str, int]]:
    return [(change.type, change.message.number) for change in changes.items]


def test_a_client_that_returns_gets_the_changes_since_its_position(
    ports: FakePorts, tenant: Tenant, chat: int
) -> None:
    post(ports, tenant, chat, "a", "b", "c")
    ports.persist()
    first = list_changes(ports, tenant, chat, Since(), 50).value
    assert types_and_numbers(first) == [("created", 1), ("created", 2), ("created", 3)]
    edit_message(ports, tenant, chat, 1, lambda m: replace(m, body="a2", edited_at=NOW))
    edit_message(ports, tenant, chat, 2, lambda m: replace(m, body="", deleted_at=NOW))
    post(ports, tenant, chat, "d")
    ports.persist()
    second = list_changes(ports, tenant, chat, first.since, 50).value
    assert types_and_numbers(second) == [("edited", 1), ("deleted", 2), ("created", 4)]
    assert types_and_numbers(list_changes(ports, tenant, chat, second.since, 50).value) == []


def test_pages_follow_each_other_and_show_whether_more_follow(
    ports: FakePorts, tenant: Tenant, chat: int
) -> None:
    post(ports, tenant, chat, *"abcde")
    ports.persist()
    seen, since = [], Since()
    for more in (True, True, False):
        changes = list_changes(ports, tenant, chat, since, 2).value
        assert changes.more is more
        seen += [number for _, number in types_and_numbers(changes)]
        since = changes.since
    assert seen == [1, 2, 3, 4, 5]
    assert list_changes(ports, tenant, chat, since, 2).value == Changes((), since, more=False)


def test_a_pending_message_is_in_the_feed_once_it_is_stored(
    ports: FakePorts, tenant: Tenant, chat: int
) -> None:
    post(ports, tenant, chat, "a")
    before = list_changes(ports, tenant, chat, Since(), 50).value
    assert before == Changes((), Since(), more=False)
    ports.persist()
    assert types_and_numbers(list_changes(ports, tenant, chat, before.since, 50).value) == [
        ("created", 1)
    ]


def test_a_version_that_a_wiped_redis_lost_was_never_in_the_feed(
    ports: FakePorts, tenant: Tenant, chat: int
) -> None:
    post(ports, tenant, chat, "a")
    ports.persist()
    edit_message(ports, tenant, chat, 1, lambda m: replace(m, body="a2", edited_at=NOW))
    post(ports, tenant, chat, "b")
    since = list_changes(ports, tenant, chat, Since(), 50).value.since
    ports.queues.take("messages")  # as if the send had failed
    ports.sequencer.wipe()
    post(ports, tenant, chat, "c")
    ports.persist()
    everything = list_changes(ports, tenant, chat, Since(), 50).value
    assert [c.message.body for c in everything.items] == ["a", "c"]
    assert types_and_numbers(list_changes(ports, tenant, chat, since, 50).value) == [
        ("created", 11)
    ]


def test_a_late_record_from_before_a_wipe_is_in_the_feed(
    ports: FakePorts, tenant: Tenant, chat: int
) -> None:
    ports.persist()
    post(ports, tenant, chat, "late")
    [late] = ports.queues.take("messages")
    ports.sequencer.wipe()
    post(ports, tenant, chat, "early")
    ports.persist()
    since = list_changes(ports, tenant, chat, Since(), 50).value.since
    persist_messages(ports, [msgspec.json.decode(late, type=MessagesRecord)])
    changes = list_changes(ports, tenant, chat, since, 50).value
    assert [change.message.body for change in changes.items] == ["late"]


@given(bodies=st.lists(st.integers(1, 6), min_size=1, max_size=30), chance=st.randoms())
def test_a_copy_equals_the_store_in_whatever_order_records_arrive(
    bodies: list[int], chance: random.Random
) -> None:
    ports = FakePorts()
    application = ports.store.applications.create_application("a" * 30, "an application", NOW)
    tenant = Tenant(application.token, 1)
    create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    records: list[str] = []
    copy: dict[int, Message] = {}
    since, last = Since(), 0
    for number in bodies:
        if number > last:
            last = post(ports, tenant, 1, "created")
        else:
            edit_message(ports, tenant, 1, number, lambda m: replace(m, edited_at=NOW))
        records += ports.queues.take("messages")
        chance.shuffle(records)
        while records and chance.random() < 0.5:
            persist_messages(ports, [msgspec.json.decode(records.pop(), type=MessagesRecord)])
        since = follow(ports, tenant, copy, since)
    for record in records:
        persist_messages(ports, [msgspec.json.decode(record, type=MessagesRecord)])
    follow(ports, tenant, copy, since)
    assert copy == {
        n: ports.store.messages.get_message(tenant.token, 1, n) for n in range(1, last + 1)
    }


def follow(ports: FakePorts, tenant: Tenant, copy: dict[int, Message], since: Since) -> Since:
    while True:
        changes = list_changes(ports, tenant, 1, since, 2).value
        copy |= {change.message.number: change.message for change in changes.items}
        since = changes.since
        if not changes.more:
            return since


def test_a_missing_or_deleted_chat_has_no_feed(ports: FakePorts, tenant: Tenant, chat: int) -> None:
    with pytest.raises(NotFoundError):
        list_changes(ports, tenant, chat + 1, Since(), 50)
    post(ports, tenant, chat, "a")
    ports.persist()
    edit_chat(ports, tenant, chat, lambda c: replace(c, deleted_at=NOW))
    for _ in range(2):
        with pytest.raises(GoneError):
            list_changes(ports, tenant, chat, Since(), 50)
        ports.persist()
        ports.sequencer.wipe()


@pytest.mark.parametrize(
    "since", [Since(), Since(0, 7), Since(7, 0), Since(MAX_NUMBER, 1)], ids=str
)
def test_a_position_is_parsed_as_it_was_written(since: Since) -> None:
    assert parse_since(str(since)) == since


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.", ".1", "-1.1", "1.1.1", "1.a", "٣.1", "0 ", f"{2**53}.1", "9" * 17 + ".1"],
)
def test_an_invalid_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="since"):
        parse_since(text)
