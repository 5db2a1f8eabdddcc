"""What was deleted is removed in small steps, in turn for all applications."""

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.models import AppToken, Chat, ChatNumber, Message, PurgeStep, Timestamp
from chalicelib.domain.times import Deadline
from chalicelib.usecases.accept import create_chat, create_messages
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.edit import delete_chat
from chalicelib.usecases.maintenance import LAST_REMOVAL_MS, purge_deleted
from chalicelib.usecases.rounds import TaskResult
from tests.fakes.ports import FakePorts, far_deadline

NOW = Timestamp("2026-01-01T00:00:00.000Z")
DRAFT = Message(number=0, revision=0, body="hello", created_at=NOW)


def deleted_chats(ports: FakePorts, token: str, count: int) -> Tenant:
    """An application with deleted chats of 600 messages each."""
    ports.store.applications.create_application(AppToken(token), "x", NOW)
    tenant = Tenant(AppToken(token), 1)
    for _ in range(count):
        create_chat(ports, tenant, Chat(number=0, revision=0, created_at=NOW))
    ports.persist()
    for number in range(1, count + 1):
        for _ in range(2):
            create_messages(ports, tenant, ChatNumber(number), [replace(DRAFT)] * 300)
            ports.persist()
        delete_chat(ports, tenant, ChatNumber(number))
    ports.persist()
    return tenant


def is_purged(ports: FakePorts, tenant: Tenant, chat: int) -> bool:
    return ports.store._applications[tenant.token].chats[ChatNumber(chat)].purged


def purge(ports: FakePorts, steps: int | None = None) -> TaskResult:
    """A run that has time for so many steps, a quarter of an hour after the deletions."""
    if steps is None:
        return purge_deleted(ports, far_deadline())
    taken: list[int] = []
    remove_rows = ports.store.remove_rows

    def counted(token: AppToken, before: Timestamp, rows: int) -> PurgeStep:
        taken.append(rows)
        return remove_rows(token, before, rows)

    ports.store.remove_rows = counted  # type: ignore[method-assign]
    try:
        return purge_deleted(ports, Deadline(lambda: 60_000 if len(taken) < steps else 0))
    finally:
        ports.store.remove_rows = remove_rows  # type: ignore[method-assign]


def test_a_deleted_chat_waits_only_one_step_for_an_application_with_many(ports: FakePorts) -> None:
    noisy, victim = deleted_chats(ports, "a" * 30, 5), deleted_chats(ports, "b" * 30, 1)
    ports.clock.wait(2 * LAST_REMOVAL_MS / 1000)
    first = purge(ports, steps=4)
    assert is_purged(ports, victim, 1)
    assert not is_purged(ports, noisy, 5)
    assert first.count + purge(ports).count == 6
    assert purge(ports).count == 0


def test_a_step_that_took_too_long_is_tried_with_fewer_rows(ports: FakePorts) -> None:
    tenant = deleted_chats(ports, "a" * 30, 1)
    ports.clock.wait(2 * LAST_REMOVAL_MS / 1000)
    remove_rows, tried = ports.store.remove_rows, []

    def slow(token: AppToken, before: Timestamp, rows: int) -> PurgeStep:
        tried.append(rows)
        if rows > 100:
            raise UnavailableError("MySQL: timed out")
        return remove_rows(token, before, rows)

    ports.store.remove_rows = slow  # type: ignore[method-assign]
    result = purge(ports)
    assert (result.count, result.errors) == (1, [])
    assert tried[:3] == [500, 125, 31]
    assert is_purged(ports, tenant, 1)


def test_an_application_that_cannot_be_purged_stops_no_other(ports: FakePorts) -> None:
    sick, healthy = deleted_chats(ports, "a" * 30, 1), deleted_chats(ports, "b" * 30, 1)
    ports.clock.wait(2 * LAST_REMOVAL_MS / 1000)
    remove_rows = ports.store.remove_rows

    def fail(token: AppToken, before: Timestamp, rows: int) -> PurgeStep:
        if token == sick.token:
            raise UnavailableError("MySQL: timed out")
        return remove_rows(token, before, rows)

    ports.store.remove_rows = fail  # type: ignore[method-assign]
    result = purge(ports)
    assert (result.count, len(result.errors)) == (1, 1)
    assert is_purged(ports, healthy, 1)


def test_nothing_is_removed_while_records_may_be_on_their_way(ports: FakePorts) -> None:
    tenant = deleted_chats(ports, "a" * 30, 1)
    ports.clock.wait(LAST_REMOVAL_MS / 1000 - 1)
    assert purge(ports).count == 0
    assert not is_purged(ports, tenant, 1)
    ports.clock.wait(2)
    assert purge(ports).count == 1


@pytest.mark.parametrize("chats", [0, 3])
def test_a_deleted_application_leaves_nothing(ports: FakePorts, chats: int) -> None:
    tenant = deleted_chats(ports, "a" * 30, chats)
    delete_application(ports, tenant.token, None)
    ports.clock.wait(2 * LAST_REMOVAL_MS / 1000)
    assert purge(ports).count == 1
    assert ports.store._applications == {}
    keys = (key.decode() for key in ports.sequencer.server.dataset.values)
    assert [key for key in keys if not key.endswith(":application")] == []
