import pytest

from chalicelib.domain.auth import Tenant
from tests.fakes.ports import FakePorts


@pytest.fixture
def ports() -> FakePorts:
    return FakePorts()


@pytest.fixture
def tenant(ports: FakePorts) -> Tenant:
    token = "0123456789abcdef0123456789abcd"
    ports.store.applications.create_application(token, "an application", "2026-01-01T00:00:00.000Z")
    return Tenant(token, 1)
