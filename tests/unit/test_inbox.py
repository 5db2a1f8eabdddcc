"""The inbox: other services create chats and messages by putting records on a queue."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import (
    BackpressureError,
    OutageError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.inbox import decode_inbox
from chalicelib.domain.leases import LeaseContended
from chalicelib.domain.models import Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.times import Deadline
from chalicelib.usecases.accept import create_messages
from chalicelib.usecases.inbox import accept_inbox
from chalicelib.usecases.process_batch import Received, process_batch
from chalicelib.usecases.read import list_chats, list_messages
from tests.fakes.ports import FakePorts, far_deadline

NOW = "2026-01-31T12:00:00.000Z"


class Inbox:
    """Records of another service, and the worker that receives them."""

    def __init__(self, ports: FakePorts, tenant: Tenant) -> None:
        self.ports, self.tenant = ports, tenant

    def chat(self, key: str, **fields: Any) -> str:
        record = {"type": "chat.create", "token": self.tenant.token, "key": key}
        return json.dumps(record | fields)

    def message(self, key: str, body: str = "hello", chat: int = 1, **fields: Any) -> str:
        record = {"type": "message.create", "token": self.tenant.token, "chat": chat, "key": key}
        return json.dumps(record | {"body": body} | fields)

    def deliver(self, *bodies: str, deadline: Deadline | None = None) -> list[str]:
        """The ids of the records that SQS will deliver again."""
        deadline = deadline or far_deadline()
        return process_batch(
            self.ports,
            "inbox",
            [Received(f"id-{i}", f"r-{i}", body, 1, 0) for i, body in enumerate(bodies)],
            lambda body: decode_inbox(body, NOW),
            lambda records: accept_inbox(self.ports, records, deadline),
            deadline,
        )

    def messages(self, chat: int = 1) -> list[tuple[int, str, str | None]]:
        listed = list_messages(self.ports, self.tenant, chat, PageRequest(limit=100, after=0)).value
        return [(m.number, m.body, m.sender) for m in listed.items]

    def reasons(self) -> list[str]:
        assert {queue for queue, _, _ in self.ports.queues.dead} <= {"inbox"}
        return [reason for _, _, reason in self.ports.queues.dead]


@pytest.fixture
def inbox(ports: FakePorts, tenant: Tenant) -> Inbox:
    return Inbox(ports, tenant)


def test_chats_and_messages_are_accepted_in_a_batch(inbox: Inbox) -> None:
    assert (
        inbox.deliver(
            inbox.chat("c", title="from elsewhere"),
            inbox.message("a", "first", sender="billing"),
            inbox.message("b", "second", metadata={"invoice": 7}),
        )
        == []
    )
    listed = list_chats(inbox.ports, inbox.tenant, PageRequest(limit=9)).value
    assert [row.chat.title for row in listed.items] == ["from elsewhere"]
    assert inbox.messages() == [(1, "first", "billing"), (2, "second", None)]
    inbox.ports.persist()
    assert inbox.messages() == [(1, "first", "billing"), (2, "second", None)]


def test_a_record_that_is_delivered_twice_is_accepted_once(inbox: Inbox) -> None:
    batch = [inbox.chat("c"), inbox.message("a"), inbox.message("a")]
    inbox.deliver(*batch)
    inbox.deliver(*batch)
    assert inbox.messages() == [(1, "hello", None)]
    assert len(list_chats(inbox.ports, inbox.tenant, PageRequest(limit=9)).value.items) == 1


def test_a_key_of_the_inbox_is_not_one_of_http(inbox: Inbox) -> None:
    inbox.deliver(inbox.chat("c"))
    draft = Message(number=0, revision=0, body="over HTTP", created_at=NOW)
    create_messages(inbox.ports, inbox.tenant, 1, [draft], IdempotencyKey("k", "a fingerprint"))
    inbox.deliver(inbox.message("k"))
    assert [body for _, body, _ in inbox.messages()] == ["over HTTP", "hello"]


def test_bad_records_are_dead_lettered_with_their_reasons_and_no_others(inbox: Inbox) -> None:
    inbox.deliver(inbox.chat("c"))
    again = inbox.deliver(
        inbox.message("1", "good"),
        "{",
        json.dumps({"type": "message.delete"}),
        inbox.message("2", " ", sender="s" * 256),
        inbox.message("3", chat=7),
        inbox.message("4", created_at="2100-01-01T00:00:00Z"),
        inbox.message("5", token="f" * 30),
        inbox.message("1", "other"),
        inbox.message("6", v=2),
        inbox.message("7", "good too"),
    )
    assert again == []
    assert [body for _, body, _ in inbox.messages()] == ["good", "good too"]
    reasons = "\n".join(inbox.reasons())
    assert len(inbox.reasons()) == 8
    for part in (
        "JSON",
        "/type",
        "/sender: must be",
        "no such chat",
        "/created_at: must not be in the future",
        "no such application",
        "used for another request",
        "/v",
    ):
        assert part in reasons


def test_a_record_that_cannot_be_accepted_now_is_retried_and_accepted_once(inbox: Inbox) -> None:
    inbox.deliver(inbox.chat("c"))
    inbox.ports.queues.is_down = True
    batch = [inbox.message("a", "x"), inbox.message("b", "y")]
    assert inbox.deliver(*batch) == ["id-0", "id-1"]
    inbox.ports.queues.is_down = False
    assert inbox.deliver(*batch) == []
    inbox.ports.persist()
    assert inbox.messages() == [(1, "x", None), (2, "y", None)]
    assert inbox.reasons() == []


class Neighbours:
    """The inbox of two applications, A and B, which share every batch. Something is wrong with A."""

    def __init__(self, ports: FakePorts, tenant: Tenant) -> None:
        self.ports = ports
        self.a = Inbox(ports, tenant)
        token = "b" * 30
        ports.store.applications.create_application(token, "b", NOW)
        self.b = Inbox(ports, Tenant(token, 1))
        assert self.a.deliver(self.a.chat("c"), self.b.chat("c")) == []
        self.is_wrong = True

    def batch(self) -> list[str]:
        """Nine records of B, and one of A between them."""
        records = [self.b.message(f"key-{n}", f"body {n}") for n in range(9)]
        return [*records[:3], self.a.message("held", "held back"), *records[3:]]

    def break_a(self, monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
        """Every script that accepts for A calls `broken` first, as long as something is wrong."""
        accept = self.ports.sequencer.accept

        def accept_or_fail(tenant: Tenant, *args: Any) -> Any:
            if self.is_wrong and tenant.token == self.a.tenant.token:
                result = broken()
                if result is not None:
                    return result
            return accept(tenant, *args)

        monkeypatch.setattr(self.ports.sequencer, "accept", accept_or_fail)

    def bodies_of_b(self) -> list[str]:
        return [text for _, text, _ in self.b.messages()]


@pytest.fixture
def neighbours(ports: FakePorts, tenant: Tenant) -> Neighbours:
    return Neighbours(ports, tenant)


def raises(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "broken",
    [
        raises(BackpressureError("too much of the chat is waiting", 5)),
        raises(UnauthenticatedError("the key was rotated")),
        raises(UnavailableError("the chat was accepted and is not persisted yet")),
        raises(OutageError("the node of A does not respond")),
        raises(ZeroDivisionError("a defect")),
        LeaseContended,
    ],
    ids=["held back", "key", "chat may arrive", "node", "defect", "no lease"],
)
def test_a_record_that_must_wait_does_not_delay_another_application(
    neighbours: Neighbours, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours.break_a(monkeypatch, broken)
    batch = neighbours.batch()
    assert neighbours.b.deliver(*batch) == ["id-3"]
    assert neighbours.bodies_of_b() == [f"body {n}" for n in range(9)]
    assert list(neighbours.ports.queues.delays) == ["r-3"]
    assert neighbours.ports.queues.dead == []
    neighbours.is_wrong = False
    assert neighbours.b.deliver(batch[3]) == []
    assert [text for _, text, _ in neighbours.a.messages()] == ["held back"]


def test_what_has_a_number_is_enqueued_although_a_later_record_fails(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours.break_a(monkeypatch, raises(OutageError("the node of A does not respond")))
    neighbours.ports.persist()
    assert neighbours.b.deliver(*neighbours.batch()) == ["id-3"]
    assert len(neighbours.ports.queues.sent["messages"]) == 9
    assert "IdempotentReplays" not in neighbours.ports.metrics.counts


def test_an_application_that_waits_for_leases_comes_last_and_no_function_times_out(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours.break_a(monkeypatch, LeaseContended)
    held = [neighbours.a.message(f"held-{n}") for n in range(20)]
    started_at_ms = neighbours.ports.clock.now_ms()
    deadline = neighbours.ports.clock.deadline(30)
    again = neighbours.b.deliver(*held, *neighbours.batch(), deadline=deadline)
    assert neighbours.ports.clock.now_ms() - started_at_ms < 25_000
    assert neighbours.bodies_of_b() == [f"body {n}" for n in range(9)]
    assert len(again) == 21
    waits = [seconds for seconds in neighbours.ports.queues.delays.values() if seconds]
    assert 1 < len(waits) < 21


def test_a_record_that_the_queue_refuses_does_not_delay_another(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = neighbours.ports.queues
    send = queues.send

    def refuse_a(records: Iterable[Any]) -> None:
        records = list(records)
        if any(record.token == neighbours.a.tenant.token for record in records):
            raise UnavailableError("SQS refused a record")
        send(records)

    monkeypatch.setattr(queues, "send", refuse_a)
    assert neighbours.b.deliver(*neighbours.batch()) == ["id-3"]
    assert neighbours.bodies_of_b() == [f"body {n}" for n in range(9)]
