"""`chatctl lag` reads from a real Valkey what the real sequencer has written."""

import secrets

import pytest

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Accepted, Counter, LeaseGrant, LeaseMissing
from chalicelib.domain.models import Chat, Lease, ListedApplication, Message
from chalicelib.operators.pending import PendingBacklog, connect, measure_backlog
from tests.contract.conftest import part_url
from tests.contract.factories import application, cache_application
from tests.fakes.clock import FakeClock

NOW = "2026-09-21T14:13:20.000Z"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def accept(sequencer: RedisSequencer, counter: Counter, drafts: list[Message] | list[Chat]) -> None:
    cache_application(sequencer, application(counter.token))
    result = sequencer.accept(Tenant(counter.token, 1), counter, drafts)
    if isinstance(result, LeaseMissing):
        sequencer.install_lease(counter, result.nonce, LeaseGrant(0, Lease(result.holder, 1, 1000)))
        result = sequencer.accept(Tenant(counter.token, 1), counter, drafts)
    assert isinstance(result, Accepted)


def test_pending_versions_of_all_applications_are_counted_and_the_oldest_is_found(
    clock: FakeClock,
) -> None:
    sequencer = RedisSequencer(part_url("redis"), clock, 1000)
    idle, busy, other = (secrets.token_hex(15) for _ in range(3))
    accept(sequencer, Counter(other), [Chat(number=0, revision=0, title="c", created_at=NOW)])
    clock.wait(5)
    oldest_at_ms = clock.now_ms()
    for chat in (1, 2):
        drafts = [Message(number=0, revision=0, body="a|b", created_at=NOW) for _ in range(3)]
        accept(sequencer, Counter(busy, chat), drafts)
        clock.wait(5)
    sequencer.acknowledge({Counter(other): {1: 2**62}})

    def list_tokens(after: int, limit: int) -> list[ListedApplication]:
        pages = {0: [(1, idle), (2, busy)], 2: [(3, other)]}
        return [ListedApplication(*row) for row in pages.get(after, [])]

    with connect(part_url("redis")) as client:
        assert measure_backlog(client, list_tokens) == PendingBacklog(6, 1, oldest_at_ms)
        assert measure_backlog(client, lambda after, limit: []) == PendingBacklog(0, 0, None)
    sequencer.close()
