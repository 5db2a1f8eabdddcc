"""A key that is replaced ends when it was said to, whatever comes in between."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from chalicelib.domain.auth import Tenant, User
from chalicelib.domain.errors import (
    ConflictError,
    ForbiddenError,
    KeyReusedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from chalicelib.domain.idempotency import ADMIN, IdempotencyMark, Once
from chalicelib.domain.models import Application
from chalicelib.domain.paging import Page
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.applications import delete_application, rotate_key
from chalicelib.usecases.read import list_chats
from tests.fakes.ledger import FakeLedger
from tests.fakes.redis_server import Memory
from tests.fakes.world import FakeWorld


def valid(world: FakeWorld, tenant: Tenant) -> list[int]:
    """Which of the first versions of the key open the application."""
    return [version for version in range(1, 5) if opens(world, tenant, version)]


def opens(world: FakeWorld, tenant: Tenant, version: int) -> bool:
    """Whether this version of the key opens the application."""
    try:
        list_chats(world, replace(tenant, key_version=version), Page(limit=1))
    except UnauthenticatedError:
        return False
    return True


def test_a_replaced_key_is_refused_at_once(world: FakeWorld, tenant: Tenant) -> None:
    assert valid(world, tenant) == [1]
    made = rotate_key(world, tenant.token, tenant, 0).state
    assert (made.key_version, made.previous_key_until) == (2, None)
    assert valid(world, tenant) == [2]


def test_a_replaced_key_is_valid_while_it_overlaps(world: FakeWorld, tenant: Tenant) -> None:
    made = rotate_key(world, tenant.token, tenant, 60).state
    assert made.previous_key_until == rfc3339(world.clock.now_ms() + 60_000)
    assert valid(world, tenant) == [1, 2]
    world.clock.wait(59)
    assert valid(world, tenant) == [1, 2]
    world.clock.wait(1)
    assert valid(world, tenant) == [2]


def test_replacing_again_within_the_overlap_ends_the_older_key(
    world: FakeWorld, tenant: Tenant
) -> None:
    rotate_key(world, tenant.token, tenant, 3600)
    rotate_key(world, tenant.token, None, 3600)
    assert valid(world, tenant) == [2, 3]
    rotate_key(world, tenant.token, None, 0)
    assert valid(world, tenant) == [4]


def test_a_replaced_key_makes_no_other(world: FakeWorld, tenant: Tenant) -> None:
    rotate_key(world, tenant.token, tenant, 3600)
    with pytest.raises(ForbiddenError):
        rotate_key(world, tenant.token, tenant, 3600)
    assert valid(world, tenant) == [1, 2]


def test_users_replace_no_key(world: FakeWorld, tenant: Tenant) -> None:
    with pytest.raises(ForbiddenError):
        rotate_key(world, tenant.token, replace(tenant, user=User("ann")), 0)
    assert valid(world, tenant) == [1]


def test_the_key_of_what_is_not_there_is_not_replaced(world: FakeWorld, tenant: Tenant) -> None:
    delete_application(world, tenant.token)
    for sender in (None, tenant):
        with pytest.raises(NotFoundError):
            rotate_key(world, tenant.token, sender, 0)


def test_of_two_that_replace_the_same_key_one_is_told_so(
    world: FakeWorld, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.store.get_application

    def read_and_be_late(token: str) -> Application | None:
        found = read(token)
        monkeypatch.setattr(world.store, "get_application", read)
        rotate_key(world, token, None, 0)
        return found

    monkeypatch.setattr(world.store, "get_application", read_and_be_late)
    with pytest.raises(ConflictError):
        rotate_key(world, tenant.token, None, 0)
    assert valid(world, tenant) == [2]


def test_a_request_that_read_the_old_version_does_not_bring_it_back(
    world: FakeWorld, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.store.get_application

    def read_and_be_late(token: str) -> Application | None:
        found = read(token)
        monkeypatch.setattr(world.store, "get_application", read)
        rotate_key(world, token, None, 0)
        return found

    monkeypatch.setattr(world.store, "get_application", read_and_be_late)
    with pytest.raises(UnauthenticatedError):
        list_chats(world, tenant, Page(limit=1))
    assert valid(world, tenant) == [2]


@pytest.mark.parametrize("loss", ["expiry", "wipe", "snapshot"])
def test_a_copy_that_is_lost_brings_no_replaced_key_back(
    world: FakeWorld, tenant: Tenant, loss: str
) -> None:
    assert valid(world, tenant) == [1]
    snapshot: Memory = world.ledger.server.memory.copy()
    rotate_key(world, tenant.token, tenant, 0)
    if loss == "expiry":
        world.clock.wait(3601)
    elif loss == "wipe":
        world.ledger.wipe()
    else:
        world.ledger.server.memory = snapshot
        world.ledger.restart()
    assert valid(world, tenant) == [2]


def once(scope: str, key: str = "a key", fingerprint: str = "of the request") -> Once:
    return Once(scope, IdempotencyMark(key, fingerprint), FakeWorld().clock.now_ms())


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Redis cannot be told of a new key, until this is undone."""

    def away(self: FakeLedger, token: str) -> None:
        raise UnavailableError("Redis is away")

    with monkeypatch.context() as patched:
        patched.setattr(FakeLedger, "forget_key", away)
        yield patched


@pytest.mark.parametrize("by_admin", [False, True])
def test_where_redis_cannot_be_told_a_retry_tells_it_and_gets_the_same_key(
    world: FakeWorld, tenant: Tenant, untold: pytest.MonkeyPatch, by_admin: bool
) -> None:
    sender, scope = (None, ADMIN) if by_admin else (tenant, tenant.token)
    assert valid(world, tenant) == [1]
    with pytest.raises(UnavailableError):
        rotate_key(world, tenant.token, sender, 0, once(scope))
    assert opens(world, tenant, 1)
    untold.undo()
    again = rotate_key(world, tenant.token, sender, 0, once(scope))
    assert (again.state.key_version, again.replayed) == (2, True)
    assert valid(world, tenant) == [2]


def test_a_redis_that_was_not_told_learns_it_from_the_new_key(
    world: FakeWorld, tenant: Tenant, untold: pytest.MonkeyPatch
) -> None:
    assert valid(world, tenant) == [1]
    with pytest.raises(UnavailableError):
        rotate_key(world, tenant.token, tenant, 0)
    assert opens(world, tenant, 1)
    assert opens(world, tenant, 2)
    assert valid(world, tenant) == [2]


def test_where_redis_cannot_be_told_any_later_try_tells_it(
    world: FakeWorld, tenant: Tenant, untold: pytest.MonkeyPatch
) -> None:
    assert valid(world, tenant) == [1]
    with pytest.raises(UnavailableError):
        rotate_key(world, tenant.token, tenant, 0)
    untold.undo()
    with pytest.raises(ForbiddenError):
        rotate_key(world, tenant.token, tenant, 0)
    assert valid(world, tenant) == [2]


def test_a_key_that_is_refused_gets_no_earlier_answer(world: FakeWorld, tenant: Tenant) -> None:
    rotate_key(world, tenant.token, tenant, 0, once(tenant.token))
    with pytest.raises(UnauthenticatedError):
        rotate_key(world, tenant.token, tenant, 0, once(tenant.token))


def test_a_retry_while_the_keys_overlap_gets_the_same_key(world: FakeWorld, tenant: Tenant) -> None:
    first = rotate_key(world, tenant.token, tenant, 60, once(tenant.token))
    again = rotate_key(world, tenant.token, tenant, 60, once(tenant.token))
    assert (again.state, again.replayed) == (first.state, True)
    assert valid(world, tenant) == [1, 2]
    with pytest.raises(KeyReusedError):
        rotate_key(world, tenant.token, tenant, 60, once(tenant.token, fingerprint="another"))
