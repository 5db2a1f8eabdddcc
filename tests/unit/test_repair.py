"""Repair: what was accepted and did not get through is sent again, and nothing else."""

from msgspec.structs import replace

from chalicelib.adapters.redis.sequencer import OVERDUE_AFTER_MS
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import Chat, Message
from chalicelib.domain.paging import Page
from chalicelib.usecases.accept import accept_chat, accept_messages
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.maintenance import repair_pending
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
DRAFT = Message(number=0, revision=0, body="hello", created_at=NOW)


def lose_sends(world: FakeWorld, tenant: Tenant) -> None:
    """A chat and a message whose sends fail."""
    world.queues.away = True
    for attempt in (
        lambda: accept_chat(world, tenant, Chat(number=0, revision=0, created_at=NOW)),
        lambda: accept_messages(world, tenant, 1, [DRAFT]),
    ):
        try:
            attempt()
        except UnavailableError:
            continue
        raise AssertionError("the send was expected to fail")
    world.queues.away = False


def later(world: FakeWorld) -> None:
    world.clock.wait(OVERDUE_AFTER_MS / 1000)


def test_overdue_states_are_sent_with_the_body_they_came_with(
    world: FakeWorld, tenant: Tenant
) -> None:
    lose_sends(world, tenant)
    assert repair_pending(world) == 0
    later(world)
    assert repair_pending(world) == 2
    world.persist()
    message = world.store.get_message(tenant.token, 1, 1)
    assert message is not None
    assert message.body == "hello"
    assert not world.ledger.look(Counter(tenant.token, 1), 1, Page(limit=9)).pending


def test_the_pauses_between_two_sends_double(world: FakeWorld, tenant: Tenant) -> None:
    lose_sends(world, tenant)
    sent_at = []
    for minute in range(1, 34):
        later(world)
        if repair_pending(world):
            sent_at.append(minute)
        world.queues.take("messages"), world.queues.take("chats")
    assert sent_at == [1, 2, 4, 8, 16, 32]


def test_what_mysql_has_is_settled_and_not_sent(world: FakeWorld, tenant: Tenant) -> None:
    lose_sends(world, tenant)
    later(world)
    repair_pending(world)
    settle, world.ledger.settle = world.ledger.settle, lambda *_: None  # type: ignore[method-assign]
    world.persist()
    world.ledger.settle = settle  # type: ignore[method-assign]
    later(world)
    later(world)
    assert repair_pending(world) == 0
    assert not world.ledger.look(Counter(tenant.token, 1), 1, Page(limit=9)).pending
    assert world.ledger.overdue([tenant.token], 10) == []


def test_a_newer_edit_is_sent_although_mysql_has_the_first_state(
    world: FakeWorld, tenant: Tenant
) -> None:
    lose_sends(world, tenant)
    later(world)
    repair_pending(world)
    world.persist()
    edit_message(world, tenant, 1, 1, lambda m: replace(m, body="edited"))
    world.queues.take("messages")
    later(world)
    assert repair_pending(world) == 1
    world.persist()
    message = world.store.get_message(tenant.token, 1, 1)
    assert message is not None
    assert message.body == "edited"
