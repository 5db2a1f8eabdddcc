"""Repair resends what was accepted and not persisted, and nothing else."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.limits import MAX_BODY_CHARS
from chalicelib.domain.models import AppToken, Chat, ChatNumber, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.queue_records import AnyRecord, MessagesRecord
from chalicelib.domain.times import Deadline
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.repair import repair_pending
from tests.fakes.ports import FakePorts, far_deadline
from tests.fakes.redis_server import SortedSet

NOW = "2026-01-01T00:00:00.000Z"
DRAFT = Message(number=0, revision=0, body="hello", created_at=NOW)


def lose_sends(ports: FakePorts, tenant: Tenant) -> None:
    """A chat and a message whose sends fail."""
    ports.queues.is_down = True
    for attempt in (
        lambda: create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW)),
        lambda: create_messages(ports, tenant, 1, [DRAFT]),
    ):
        try:
            attempt()
        except UnavailableError:
            continue
        raise AssertionError("the send was expected to fail")
    ports.queues.is_down = False


def later(ports: FakePorts) -> None:
    ports.clock.wait(OVERDUE_AFTER_MS / 1000)


def repair(ports: FakePorts) -> int:
    """How many versions were resent."""
    result = repair_pending(ports, far_deadline())
    assert result.errors == []
    return result.count


def test_overdue_versions_are_resent_with_their_bodies(ports: FakePorts, tenant: Tenant) -> None:
    lose_sends(ports, tenant)
    assert repair(ports) == 0
    later(ports)
    assert repair(ports) == 2
    ports.persist()
    message = ports.store.messages.get_message(tenant.token, 1, 1)
    assert message is not None
    assert message.body == "hello"
    assert not ports.sequencer.read_pending(
        tenant, Counter(tenant.token, 1), PageRequest(limit=9)
    ).pending


def test_the_pauses_between_two_sends_double(ports: FakePorts, tenant: Tenant) -> None:
    lose_sends(ports, tenant)
    sent_at = []
    for minute in range(1, 34):
        later(ports)
        if repair(ports):
            sent_at.append(minute)
        ports.queues.take("messages"), ports.queues.take("chats")
    assert sent_at == [1, 2, 4, 8, 16, 32]


def test_a_version_that_mysql_has_is_acknowledged_and_not_resent(
    ports: FakePorts, tenant: Tenant
) -> None:
    lose_sends(ports, tenant)
    later(ports)
    repair(ports)
    acknowledge, ports.sequencer.acknowledge = ports.sequencer.acknowledge, lambda *_: None  # type: ignore[method-assign]
    ports.persist()
    ports.sequencer.acknowledge = acknowledge  # type: ignore[method-assign]
    later(ports)
    later(ports)
    assert repair(ports) == 0
    assert not ports.sequencer.read_pending(
        tenant, Counter(tenant.token, 1), PageRequest(limit=9)
    ).pending
    assert ports.sequencer.list_overdue([tenant.token], 10) == []


def test_a_newer_edit_is_resent_although_mysql_has_the_first_version(
    ports: FakePorts, tenant: Tenant
) -> None:
    lose_sends(ports, tenant)
    later(ports)
    repair(ports)
    ports.persist()
    edit_message(ports, tenant, 1, 1, lambda m: replace(m, body="edited"))
    ports.queues.take("messages")
    later(ports)
    assert repair(ports) == 1
    ports.persist()
    message = ports.store.messages.get_message(tenant.token, 1, 1)
    assert message is not None
    assert message.body == "edited"


class KilledError(BaseException):
    """Stands for the kill of the process: no code handles it."""


def lose(ports: FakePorts, tenant: Tenant, chat: int, bodies: list[str]) -> None:
    """Messages in a chat that are accepted and whose send fails."""
    drafts = [replace(DRAFT, body=body) for body in bodies]
    ports.queues.is_down = True
    with pytest.raises(UnavailableError):
        create_messages(ports, tenant, ChatNumber(chat), drafts)
    ports.queues.is_down = False


def new_chats(ports: FakePorts, token: str, count: int) -> Tenant:
    """An application with persisted chats."""
    ports.store.applications.create_application(AppToken(token), "x", NOW)
    tenant = Tenant(AppToken(token), 1)
    for _ in range(count):
        create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    return tenant


def resent(ports: FakePorts) -> dict[tuple[str, int], int]:
    """How many messages were sent, by token and chat. Takes them off the queue."""
    records = [json.decode(body, type=MessagesRecord) for body in ports.queues.take("messages")]
    counts: dict[tuple[str, int], int] = {}
    for record in records:
        key = (record.token, record.chat)
        counts[key] = counts.get(key, 0) + len(record.messages)
    return counts


def test_one_message_is_resent_in_the_first_run_although_another_application_has_thousands(
    ports: FakePorts,
) -> None:
    noisy, victim = new_chats(ports, "a" * 30, 2), new_chats(ports, "b" * 30, 1)
    for chat in (1, 2):
        for _ in range(3):
            lose(ports, noisy, chat, ["x"] * 500)
    lose(ports, victim, 1, ["mine"])
    later(ports)
    sends: list[int] = []
    send = ports.queues.send
    ports.queues.send = lambda records: (sends.append(1), send(records))[1]  # type: ignore[method-assign]
    repair_pending(ports, Deadline(lambda: 60_000 if len(sends) < 10 else 0))
    counts = resent(ports)
    assert counts[victim.token, 1] == 1
    assert sum(counts.values()) < 3_000


def test_the_repair_reads_at_most_five_megabytes_at_a_time(
    ports: FakePorts, tenant: Tenant
) -> None:
    create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    for _ in range(3):
        lose(ports, tenant, 1, ["\u0001" * MAX_BODY_CHARS] * 50)
    later(ports)
    read: list[int] = []
    execute = ports.sequencer.server.execute

    def measured(*command: Any) -> Any:
        reply = execute(*command)
        if command[0] == "ZRANGEBYSCORE" and command[1].endswith(":pending"):
            read[-1] += sum(map(len, reply))
        return reply

    ports.sequencer.server.execute = measured  # type: ignore[method-assign]
    get_pending = ports.sequencer.get_pending
    ports.sequencer.get_pending = lambda numbers: (read.append(0), get_pending(numbers))[1]  # type: ignore[method-assign]
    assert repair(ports) == 150
    assert len(read) == 4
    assert 1_000_000 < max(read) <= 5_000_000


def test_a_run_that_is_killed_has_made_progress(ports: FakePorts, tenant: Tenant) -> None:
    create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    lose(ports, tenant, 1, ["x"] * 100)
    later(ports)
    send = ports.queues.send

    def killed(_: object) -> None:
        raise KilledError

    ports.queues.send = killed  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        repair(ports)
    ports.queues.send = send  # type: ignore[method-assign]
    assert repair(ports) == 60


def test_an_entry_that_cannot_be_read_stops_no_other(ports: FakePorts, tenant: Tenant) -> None:
    for _ in range(3):
        create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    for chat in (1, 2, 3):
        lose(ports, tenant, chat, ["x"])
    pending = ports.sequencer.server.dataset.values[f"{{{tenant.token}}}:chat:2:pending".encode()]
    assert isinstance(pending, SortedSet)
    [entry] = pending.scores
    pending.remove(entry)
    pending.add(entry[:-10], 1)
    later(ports)
    result = repair_pending(ports, far_deadline())
    assert resent(ports) == {(tenant.token, 1): 1, (tenant.token, 3): 1}
    assert len(result.errors) == 1


def test_a_record_that_sqs_refuses_stops_no_other_and_is_tried_again_after_a_minute(
    ports: FakePorts, tenant: Tenant
) -> None:
    for _ in range(3):
        create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    for chat in (1, 2, 3):
        lose(ports, tenant, chat, ["x"])
    for _ in range(5):
        later(ports)
    send = ports.queues.send

    def refuse(records: Iterable[AnyRecord]) -> None:
        records = list(records)
        if any(isinstance(record, MessagesRecord) and record.chat == 2 for record in records):
            raise UnavailableError("SQS refused a record")
        send(records)

    ports.queues.send = refuse  # type: ignore[method-assign]
    result = repair_pending(ports, far_deadline())
    assert (result.count, len(result.errors)) == (2, 1)
    assert resent(ports) == {(tenant.token, 1): 1, (tenant.token, 3): 1}
    assert ports.metrics.measured["OldestPendingAge"] == 5 * OVERDUE_AFTER_MS
    ports.queues.send = send  # type: ignore[method-assign]
    later(ports)
    assert repair(ports) == 1
    assert resent(ports) == {(tenant.token, 2): 1}


def test_a_part_that_is_away_leaves_everything_for_the_next_run(
    ports: FakePorts, tenant: Tenant
) -> None:
    lose_sends(ports, tenant)
    later(ports)
    ports.queues.is_down = True
    assert repair_pending(ports, far_deadline()).count == 0
    ports.queues.is_down = False
    later(ports)
    assert repair(ports) == 2
