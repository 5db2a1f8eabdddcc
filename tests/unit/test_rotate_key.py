"""A replaced key expires at its time, also after retries, failures and losses of data."""

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
from chalicelib.domain.idempotency import IdempotencyKey
from chalicelib.domain.models import Application
from chalicelib.domain.paging import PageRequest
from chalicelib.domain.times import rfc3339
from chalicelib.usecases.applications import delete_application, rotate_key
from chalicelib.usecases.read import list_chats
from tests.fakes.ports import FakePorts
from tests.fakes.redis_server import Dataset
from tests.fakes.sequencer import InMemorySequencer


def valid(ports: FakePorts, tenant: Tenant) -> list[int]:
    """Those of the first versions of the key that open the application."""
    return [version for version in range(1, 5) if opens(ports, tenant, version)]


def opens(ports: FakePorts, tenant: Tenant, version: int) -> bool:
    """Whether this version of the key opens the application."""
    try:
        list_chats(ports, replace(tenant, key_version=version), PageRequest(limit=1))
    except UnauthenticatedError:
        return False
    return True


def test_a_replaced_key_is_refused_at_once(ports: FakePorts, tenant: Tenant) -> None:
    assert valid(ports, tenant) == [1]
    made = rotate_key(ports, tenant.token, tenant, 0).value
    assert (made.key_version, made.previous_key_until) == (2, None)
    assert valid(ports, tenant) == [2]


def test_a_replaced_key_is_valid_while_it_overlaps(ports: FakePorts, tenant: Tenant) -> None:
    made = rotate_key(ports, tenant.token, tenant, 60).value
    assert made.previous_key_until == rfc3339(ports.clock.now_ms() + 60_000)
    assert valid(ports, tenant) == [1, 2]
    ports.clock.wait(59)
    assert valid(ports, tenant) == [1, 2]
    ports.clock.wait(1)
    assert valid(ports, tenant) == [2]


def test_replacing_again_within_the_overlap_ends_the_older_key(
    ports: FakePorts, tenant: Tenant
) -> None:
    rotate_key(ports, tenant.token, tenant, 3600)
    rotate_key(ports, tenant.token, None, 3600)
    assert valid(ports, tenant) == [2, 3]
    rotate_key(ports, tenant.token, None, 0)
    assert valid(ports, tenant) == [4]


def test_a_replaced_key_cannot_replace_a_key(ports: FakePorts, tenant: Tenant) -> None:
    rotate_key(ports, tenant.token, tenant, 3600)
    with pytest.raises(ForbiddenError):
        rotate_key(ports, tenant.token, tenant, 3600)
    assert valid(ports, tenant) == [1, 2]


def test_users_cannot_replace_a_key(ports: FakePorts, tenant: Tenant) -> None:
    with pytest.raises(ForbiddenError):
        rotate_key(ports, tenant.token, replace(tenant, user=User("ann")), 0)
    assert valid(ports, tenant) == [1]


def test_the_key_of_a_deleted_application_is_not_replaced(ports: FakePorts, tenant: Tenant) -> None:
    delete_application(ports, tenant.token, None)
    for principal in (None, tenant):
        with pytest.raises(NotFoundError):
            rotate_key(ports, tenant.token, principal, 0)


def test_of_two_rotations_of_the_same_version_one_is_a_conflict(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ports.store.applications.get_application

    def read_and_be_late(token: str) -> Application | None:
        application = read(token)
        monkeypatch.setattr(ports.store.applications, "get_application", read)
        rotate_key(ports, token, None, 0)
        return application

    monkeypatch.setattr(ports.store.applications, "get_application", read_and_be_late)
    with pytest.raises(ConflictError):
        rotate_key(ports, tenant.token, None, 0)
    assert valid(ports, tenant) == [2]


def test_a_request_that_read_the_old_version_does_not_restore_it(
    ports: FakePorts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ports.store.applications.get_application

    def read_and_be_late(token: str) -> Application | None:
        application = read(token)
        monkeypatch.setattr(ports.store.applications, "get_application", read)
        rotate_key(ports, token, None, 0)
        return application

    monkeypatch.setattr(ports.store.applications, "get_application", read_and_be_late)
    with pytest.raises(UnauthenticatedError):
        list_chats(ports, tenant, PageRequest(limit=1))
    assert valid(ports, tenant) == [2]


@pytest.mark.parametrize("loss", ["expiry", "wipe", "snapshot"])
def test_a_lost_cache_does_not_restore_a_replaced_key(
    ports: FakePorts, tenant: Tenant, loss: str
) -> None:
    assert valid(ports, tenant) == [1]
    snapshot: Dataset = ports.sequencer.server.dataset.copy()
    rotate_key(ports, tenant.token, tenant, 0)
    if loss == "expiry":
        ports.clock.wait(3601)
    elif loss == "wipe":
        ports.sequencer.wipe()
    else:
        ports.sequencer.server.dataset = snapshot
        ports.sequencer.restart()
    assert valid(ports, tenant) == [2]


def idempotency(fingerprint: str = "of the request") -> IdempotencyKey:
    return IdempotencyKey("a key", fingerprint)


@pytest.fixture
def failed_invalidation(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Redis is down for the invalidation of the key cache, until the test undoes this."""

    def fail(self: InMemorySequencer, token: str) -> None:
        raise UnavailableError("Redis is down")

    with monkeypatch.context() as patched:
        patched.setattr(InMemorySequencer, "invalidate_key_cache", fail)
        yield patched


@pytest.mark.parametrize("by_admin", [False, True])
def test_after_a_failed_invalidation_a_retry_invalidates_and_gets_the_same_key(
    ports: FakePorts, tenant: Tenant, failed_invalidation: pytest.MonkeyPatch, by_admin: bool
) -> None:
    principal = None if by_admin else tenant
    assert valid(ports, tenant) == [1]
    with pytest.raises(UnavailableError):
        rotate_key(ports, tenant.token, principal, 0, idempotency())
    assert opens(ports, tenant, 1)
    failed_invalidation.undo()
    again = rotate_key(ports, tenant.token, principal, 0, idempotency())
    assert (again.value.key_version, again.replayed) == (2, True)
    assert valid(ports, tenant) == [2]


def test_after_a_failed_invalidation_a_request_with_the_new_key_ends_the_old_key(
    ports: FakePorts, tenant: Tenant, failed_invalidation: pytest.MonkeyPatch
) -> None:
    assert valid(ports, tenant) == [1]
    with pytest.raises(UnavailableError):
        rotate_key(ports, tenant.token, tenant, 0)
    assert opens(ports, tenant, 1)
    assert opens(ports, tenant, 2)
    assert valid(ports, tenant) == [2]


def test_after_a_failed_invalidation_any_later_rotation_invalidates(
    ports: FakePorts, tenant: Tenant, failed_invalidation: pytest.MonkeyPatch
) -> None:
    assert valid(ports, tenant) == [1]
    with pytest.raises(UnavailableError):
        rotate_key(ports, tenant.token, tenant, 0)
    failed_invalidation.undo()
    with pytest.raises(ForbiddenError):
        rotate_key(ports, tenant.token, tenant, 0)
    assert valid(ports, tenant) == [2]


def test_a_refused_key_gets_no_stored_response(ports: FakePorts, tenant: Tenant) -> None:
    rotate_key(ports, tenant.token, tenant, 0, idempotency())
    with pytest.raises(UnauthenticatedError):
        rotate_key(ports, tenant.token, tenant, 0, idempotency())


def test_a_retry_while_the_keys_overlap_gets_the_same_key(ports: FakePorts, tenant: Tenant) -> None:
    first = rotate_key(ports, tenant.token, tenant, 60, idempotency())
    again = rotate_key(ports, tenant.token, tenant, 60, idempotency())
    assert (again.value, again.replayed) == (first.value, True)
    assert valid(ports, tenant) == [1, 2]
    with pytest.raises(KeyReusedError):
        rotate_key(ports, tenant.token, tenant, 60, idempotency("another"))
