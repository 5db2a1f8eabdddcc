import pytest

from chalicelib.domain.auth import Tenant
from tests.fakes.world import FakeWorld


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def tenant(world: FakeWorld) -> Tenant:
    token = "0123456789abcdef0123456789abcd"
    world.store.create_application(token, "an application", "2026-01-01T00:00:00.000Z")
    return Tenant(token, 1)
