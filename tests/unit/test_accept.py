"""Accepting of chats and messages: numbers, leases, retries, and failures between the steps."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    ConflictError,
    GoneError,
    KeyReusedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.leases import Counter, LeaseExhausted, LeaseGrant
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.number_ranges import NumberRange
from chalicelib.domain.paging import PageRequest
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import delete_chat, edit_chat
from chalicelib.usecases.leases import make_ready
from chalicelib.usecases.read import get_chat, list_chats, list_messages
from tests.fakes.ports import FakePorts

NOW = "2026-01-01T00:00:00.000Z"
CHAT = Chat(number=0, revision=0, title="a chat", created_at=NOW)


def draft(body: str = "hello") -> Message:
    return Message(number=0, revision=0, body=body, created_at=NOW)


def bodies(ports: FakePorts, tenant: Tenant, chat: int) -> dict[int, str]:
    listed = list_messages(ports, tenant, chat, PageRequest(limit=100)).value
    return {m.number: m.body for m in listed.items}


def test_chats_and_messages_are_numbered_from_one(ports: FakePorts, tenant: Tenant) -> None:
    assert [create_chat(ports, tenant, CHAT).value.number for _ in range(3)] == [1, 2, 3]
    assert [create_messages(ports, tenant, 2, [draft()]).value.first for _ in range(3)] == [1, 2, 3]


def test_numbers_continue_without_a_gap_far_beyond_one_lease(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    ports.persist()
    numbers = []
    for i in range(60):
        numbers.append(create_messages(ports, tenant, 1, [draft()]).value.first)
        if i % 7 == 0:
            ports.persist()
    ports.persist()
    assert numbers == list(range(1, 61))
    assert get_chat(ports, tenant, 1).value.skipped == []


def test_a_burst_beyond_the_first_lease_is_accepted_before_the_chat_has_a_row(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    posted = [create_messages(ports, tenant, 1, [draft()] * 10).value for _ in range(4)]
    assert posted == [NumberRange(n, n + 9) for n in (1, 11, 21, 31)]
    ports.persist()
    row = get_chat(ports, tenant, 1).value
    assert (row.row.chat.title, row.row.messages_count, row.skipped) == ("a chat", 40, [])
    assert create_messages(ports, tenant, 1, [draft()]).value.first == 41


def test_a_burst_to_a_chat_that_was_deleted_meanwhile_is_refused(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [draft()] * 10)
    delete_chat(ports, tenant, 1)
    with pytest.raises(GoneError):
        create_messages(ports, tenant, 1, [draft()])
    ports.persist()
    assert list_chats(ports, tenant, PageRequest(limit=10)).value.items == ()


def test_a_caller_that_was_paused_at_the_first_ceiling_opens_nothing_after_a_wipe(
    ports: FakePorts, tenant: Tenant
) -> None:
    """It creates the stub under a lease that Redis has lost by then."""
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [draft()] * 10)
    counter = Counter(tenant.token, 1)
    exhausted = ports.sequencer.accept(tenant, counter, [draft()])
    assert isinstance(exhausted, LeaseExhausted)
    ports.sequencer.wipe()
    make_ready(ports, counter, exhausted)
    after = create_messages(ports, tenant, 1, [draft()]).value.first
    ports.persist()
    chat = get_chat(ports, tenant, 1).value
    assert (after, chat.row.chat.title) == (21, "a chat")
    assert chat.skipped == [NumberRange(11, 20)]


def test_a_wiped_redis_skips_numbers_and_never_reuses_one(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    for _ in range(3):
        create_messages(ports, tenant, 1, [draft()])
    ports.persist()
    ports.sequencer.wipe()
    after = create_messages(ports, tenant, 1, [draft()]).value.first
    ceiling = after - 1
    ports.persist()
    assert after > 3
    assert get_chat(ports, tenant, 1).value.skipped == [NumberRange(4, ceiling)]
    assert sorted(bodies(ports, tenant, 1)) == [1, 2, 3, after]


def test_a_restarted_redis_acquires_new_leases(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [draft()])
    ports.persist()
    ports.sequencer.restart()
    assert create_messages(ports, tenant, 1, [draft()]).value.first > 10
    assert create_chat(ports, tenant, CHAT).value.number > 10


def test_a_caller_that_meets_another_incarnation_does_not_wait_for_itself(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, conflicts = ports.store.acquire_lease, ["another incarnation came first"]

    def meet_another(*args: Any) -> LeaseGrant | None:
        if conflicts:
            raise ConflictError(conflicts.pop())
        return acquire(*args)

    monkeypatch.setattr(ports.store, "acquire_lease", meet_another)
    started = ports.clock.now_ms()
    assert create_chat(ports, tenant, CHAT).value.number == 1
    assert ports.clock.now_ms() == started


@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_a_message_to_a_chat_that_is_created_meanwhile_skips_no_number(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, is_acknowledged: bool
) -> None:
    create_chat(ports, tenant, CHAT)
    ports.persist()
    lease_epoch = ports.store.lease_epoch

    def create_meanwhile(counter: Counter) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(ports.store, "lease_epoch", lease_epoch)
            if not is_acknowledged:
                patch.setattr(ports.sequencer, "acknowledge", lambda revisions: None)
            assert create_chat(ports, tenant, CHAT).value.number == 2
            ports.persist()
        monkeypatch.setattr(ports.store, "lease_epoch", lease_epoch)
        return lease_epoch(counter)

    monkeypatch.setattr(ports.store, "lease_epoch", create_meanwhile)
    assert create_messages(ports, tenant, 2, [draft()]).value == NumberRange(1, 1)
    ports.persist()
    edit_chat(ports, tenant, 2, lambda chat: replace(chat, title="renamed"))
    assert create_messages(ports, tenant, 2, [draft()]).value == NumberRange(2, 2)
    ports.persist()
    assert get_chat(ports, tenant, 2).value.skipped == []


def test_a_chat_that_loses_its_counter_before_it_has_a_row_is_unavailable(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    ports.sequencer.wipe()
    with pytest.raises(UnavailableError):
        create_messages(ports, tenant, 1, [draft()])
    ports.persist()
    assert create_messages(ports, tenant, 1, [draft()]).value.first > 10


def test_a_chat_that_was_never_created_is_not_found(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    with pytest.raises(NotFoundError):
        create_messages(ports, tenant, 2, [draft()])


def test_an_application_that_was_never_created_is_not_found(ports: FakePorts) -> None:
    with pytest.raises(NotFoundError):
        create_chat(ports, Tenant("f" * 30, 1), CHAT)


def test_a_key_of_another_version_is_refused(ports: FakePorts, tenant: Tenant) -> None:
    with pytest.raises(UnauthenticatedError):
        create_chat(ports, replace(tenant, key_version=2), CHAT)


def test_a_retry_after_a_failed_send_is_one_message(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    ports.persist()
    idempotency = IdempotencyKey("key", "fingerprint")
    ports.queues.is_down = True
    with pytest.raises(UnavailableError):
        create_messages(ports, tenant, 1, [draft()], idempotency)
    ports.queues.is_down = False
    assert create_messages(ports, tenant, 1, [draft()], idempotency).value.first == 1
    ports.persist()
    assert create_messages(ports, tenant, 1, [draft()], idempotency).value.first == 1
    ports.persist()
    assert bodies(ports, tenant, 1) == {1: "hello"}
    assert get_chat(ports, tenant, 1).value.row.messages_count == 1


def test_a_key_with_another_body_is_refused(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT, IdempotencyKey("key", "one"))
    with pytest.raises(KeyReusedError):
        create_chat(ports, tenant, CHAT, IdempotencyKey("key", "two"))


def test_writers_read_their_own_writes_before_mysql_has_them(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [draft("a"), draft("b")])
    assert bodies(ports, tenant, 1) == {2: "b", 1: "a"}
    assert get_chat(ports, tenant, 1).value.row.chat.title == "a chat"


def test_a_message_can_be_persisted_before_its_chat(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [draft()])
    held_back = ports.queues.take("chats")
    ports.persist()
    ports.queues.sent["chats"] = held_back
    ports.persist()
    detail = get_chat(ports, tenant, 1).value
    row = detail.row
    assert (row.chat.title, row.messages_count, detail.skipped) == ("a chat", 1, [])


def test_a_deleted_chat_accepts_no_message_and_a_late_record_does_not_restore_it(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    create_messages(ports, tenant, 1, [draft()])
    late = ports.queues.take("messages") + ports.queues.take("chats")
    edit_chat(ports, tenant, 1, lambda c: replace(c, deleted_at=NOW))
    with pytest.raises(GoneError):
        create_messages(ports, tenant, 1, [draft()])
    ports.persist()
    ports.queues.sent["messages"], ports.queues.sent["chats"] = late[:1], late[1:]
    ports.persist()
    ports.sequencer.wipe()
    with pytest.raises(GoneError):
        get_chat(ports, tenant, 1)
    with pytest.raises(GoneError):
        create_messages(ports, tenant, 1, [draft()])
    application = ports.store.applications.get_application(tenant.token)
    assert application is not None
    assert application.chats_count == 0


def test_a_wiped_redis_refuses_a_deleted_chat_once_the_deletion_is_persisted(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, CHAT)
    ports.persist()
    edit_chat(ports, tenant, 1, lambda chat: replace(chat, deleted_at=NOW))
    ports.sequencer.wipe()
    # The deletion is not in MySQL yet, so this acquires a lease.
    create_messages(ports, tenant, 1, [draft()])
    ports.persist()
    with pytest.raises(GoneError):
        create_messages(ports, tenant, 1, [draft()])
