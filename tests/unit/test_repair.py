"""Repair resends what was accepted and not persisted, and nothing else."""

from msgspec.structs import replace

from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import PageRequest
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.repair import repair_pending
from tests.fakes.ports import FakePorts, far_deadline

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
