"""Leases of quiet counters are given back, and nothing is skipped whatever happens in between."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Counter
from chalicelib.domain.models import Chat, Message
from chalicelib.usecases.accept import accept_chat, accept_messages
from chalicelib.usecases.applications import delete_application
from chalicelib.usecases.edit import edit_message
from chalicelib.usecases.maintenance import QUIET_MS, close_leases, purge_deleted
from tests.fakes.world import FakeWorld

NOW = "2026-01-01T00:00:00.000Z"
TENANT = Tenant("0123456789abcdef0123456789abcd", 1)
MESSAGES = Counter(TENANT.token, 1)


@pytest.fixture
def world() -> FakeWorld:
    """A chat with three messages, all persisted, and an hour of quiet after that."""
    world = FakeWorld()
    world.store.create_application(TENANT.token, "quiet", NOW)
    accept_chat(world, TENANT, Chat(number=0, revision=0, created_at=NOW))
    for _ in range(3):
        post(world)
    world.persist()
    world.clock.wait(QUIET_MS / 1000 + 1)
    return world


def post(world: Any) -> int:
    draft = Message(number=0, revision=0, body="hello", created_at=NOW)
    return accept_messages(world, TENANT, 1, [draft]).first


def test_a_quiet_application_leaves_nothing_in_redis(world: FakeWorld) -> None:
    assert close_leases(world) == 2
    assert counters(world) == set()
    assert close_leases(world) == 0


def test_the_next_message_and_the_next_chat_follow_the_last_ones(world: FakeWorld) -> None:
    close_leases(world)
    assert post(world) == 4
    assert accept_chat(world, TENANT, Chat(number=0, revision=0, created_at=NOW)).first == 2
    world.persist()
    assert world.store.skipped(TENANT.token, 1) == []


def test_a_message_can_be_edited_although_its_chat_was_closed(world: FakeWorld) -> None:
    close_leases(world)
    edit_message(world, TENANT, 1, 2, lambda m: replace(m, body="edited"))
    world.persist()
    stored = world.store.get_message(TENANT.token, 1, 2)
    assert stored is not None
    assert stored.body == "edited"
    assert post(world) == 4


def test_a_chat_that_is_written_to_stays(world: FakeWorld) -> None:
    post(world)
    assert close_leases(world) == 1
    world.persist()
    assert close_leases(world) == 0
    assert f"{{{TENANT.token}}}:chat:1" in counters(world)


def test_an_application_that_is_purged_is_erased_from_redis(world: FakeWorld) -> None:
    delete_application(world, TENANT.token)
    world.clock.wait(3600)
    for _ in range(3):
        purge_deleted(world)
    assert counters(world) == set()


class _KilledError(BaseException):
    """The process is gone: nothing of it runs any more."""


class _Dying:
    """A world whose process is killed after so many calls of its ports."""

    def __init__(self, world: FakeWorld, calls: int) -> None:
        self._world, self.left = world, calls

    def __getattr__(self, name: str) -> Any:
        port = getattr(self._world, name)
        return _Port(self, port) if name in ("ledger", "store", "queues") else port


class _Port:
    def __init__(self, dying: _Dying, port: Any) -> None:
        self._dying, self._port = dying, port

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self._dying.left -= 1
            if self._dying.left < 0:
                raise _KilledError
            return getattr(self._port, name)(*args)

        return call


def deaths(work: Callable[[Any], object], world: FakeWorld) -> Iterator[int]:
    """Do the work, killed before its first call, then before its second …, until it gets through."""
    for calls in range(30):
        try:
            work(_Dying(world, calls))
        except _KilledError:
            yield calls
        else:
            return
    raise AssertionError("it never got through")


def test_a_death_anywhere_in_closing_skips_nothing(world: FakeWorld) -> None:
    given = [3]
    for calls in deaths(close_leases, world):
        given.append(post(world))
        world.persist()
        world.clock.wait(QUIET_MS / 1000 + calls)
    assert given == list(range(3, 3 + len(given)))
    assert len(given) > 5
    assert world.store.skipped(TENANT.token, 1) == []


def test_a_death_anywhere_in_beginning_skips_nothing(world: FakeWorld) -> None:
    close_leases(world)
    for _ in deaths(post, world):
        world.clock.wait(6)  # for so long others wait for who began
    last = post(world)
    world.queues.sent["messages"].clear()
    assert [
        p.state.number for p in world.ledger.take_overdue(MESSAGES, range(1, last + 1))
    ] == list(range(4, last + 1))
    assert world.store.skipped(TENANT.token, 1) == []


def counters(world: FakeWorld) -> set[str]:
    """The keys that a counter has or leaves behind."""
    keys = (key.decode() for key in world.ledger.server.memory.values)
    return {key for key in keys if not key.endswith(":application")}
