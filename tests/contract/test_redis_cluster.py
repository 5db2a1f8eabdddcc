"""The behaviour of the sequencer if its keys are on several servers."""

import secrets
from collections.abc import Iterator

import pytest
import redis

from chalicelib.adapters.redis.sequencer import RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import Message
from chalicelib.operators.pending import connect, measure_backlog
from tests.contract.cluster import Cluster, running_cluster
from tests.contract.factories import application, cache_application, hold_first_lease
from tests.fakes.clock import FakeClock

DRAFT = Message(number=0, revision=0, body="hello", created_at="2026-09-21T14:13:20.000Z")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def sequencer(cluster: Cluster) -> Iterator[RedisSequencer]:
    sequencer = RedisSequencer(cluster.url, SystemClock(), 1000)
    yield sequencer
    sequencer.close()


def application_on(cluster: Cluster, sequencer: RedisSequencer, port: int) -> str:
    """The token of an application whose keys are on this node, with a lease for chat 1."""
    token = next(t for t in iter(lambda: secrets.token_hex(15), "") if cluster.port_of(t) == port)
    cache_application(sequencer, application(token))
    hold_first_lease(sequencer, Counter(token, 1), 1000)
    return token


def accept(sequencer: RedisSequencer, token: str) -> Accepted:
    accepted = sequencer.accept(Tenant(token, 1), Counter(token, 1), [DRAFT])
    assert isinstance(accepted, Accepted)
    return accepted


def test_each_node_is_its_own_incarnation(cluster: Cluster, sequencer: RedisSequencer) -> None:
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    holders = {accept(sequencer, token).lease.holder for token in tokens}
    assert len(holders) == len(cluster.ports)


def test_reads_of_many_applications_reach_all_nodes(cluster: Cluster) -> None:
    clock = FakeClock()
    sequencer = RedisSequencer(cluster.url, clock, 1000)
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    at = clock.now_ms()
    for token in tokens:
        accept(sequencer, token)
    assert sequencer.oldest_pending(tokens) == at
    clock.wait(3600)
    assert sequencer.list_overdue(tokens, 10) == [(Counter(token, 1), 1) for token in tokens]
    acknowledged = {}
    for token in tokens:
        [pending] = sequencer.get_pending({Counter(token, 1): [1]})[Counter(token, 1)]
        acknowledged[Counter(token, 1)] = {1: pending.version.revision}
    # No node has the script yet.
    sequencer.acknowledge(acknowledged)
    assert sequencer.list_idle(tokens, 0, 10) == [Counter(token, 1) for token in tokens]
    sequencer.close()


def test_an_operator_sees_what_is_pending_on_all_nodes(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    tokens = [application_on(cluster, sequencer, port) for port in cluster.ports]
    for token in tokens:
        accept(sequencer, token)
    with connect(cluster.url) as client:
        seen = measure_backlog(client, lambda after, limit: [] if after else tokens)
    assert (seen.entries, seen.applications) == (3, 3)


def test_a_full_server_lets_what_is_pending_be_repaired_and_leases_be_released(
    cluster: Cluster,
) -> None:
    clock = FakeClock()
    sequencer = RedisSequencer(cluster.url, clock, 1000)
    port = cluster.ports[0]
    token = application_on(cluster, sequencer, port)
    counter = Counter(token, 1)
    accepted = accept(sequencer, token)
    with cluster.client(port) as node:
        node.config_set("maxmemory", 1)
        with pytest.raises(UnavailableError, match="maxmemory"):
            accept(sequencer, token)
        clock.wait(3600)
        assert sequencer.list_overdue([token], 10) == [(counter, 1)]
        sequencer.postpone({counter: {1: clock.now_ms() + 60_000}})
        assert sequencer.list_overdue([token], 10) == []
        clock.wait(61)
        assert sequencer.list_overdue([token], 10) == [(counter, 1)]
        assert sequencer.mark_releasing([counter], 0) == {}
        sequencer.acknowledge({counter: {1: accepted.revision}})
        released = sequencer.mark_releasing(sequencer.list_idle([token], 0, 10), 0)
        sequencer.forget_released(released)
        assert list(released) == [counter]
        assert node.dbsize() == 1  # the cached copy of the application
    sequencer.close()


def test_a_lost_node_affects_only_its_own_applications(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    first, *others = [application_on(cluster, sequencer, port) for port in cluster.ports]
    cluster.kill(cluster.ports[0])
    with pytest.raises(UnavailableError):
        accept(sequencer, first)
    assert [accept(sequencer, token).first for token in others] == [1, 1]


def test_a_script_without_a_reply_is_not_sent_again(
    cluster: Cluster, sequencer: RedisSequencer
) -> None:
    port = cluster.ports[1]
    token = application_on(cluster, sequencer, port)
    assert accept(sequencer, token).first == 1
    with cluster.paused(port), pytest.raises(UnavailableError):
        accept(sequencer, token)
    with redis.Redis(port=port) as node:
        assert node.ping()
        assert node.hget(f"{{{token}}}:chat:1", "last") == b"2"


def test_the_user_of_the_functions_can_neither_wipe_nor_list_nor_reconfigure(
    cluster: Cluster,
) -> None:
    password = cluster.url.split(":")[2].split("@")[0]
    with redis.Redis(port=cluster.ports[0], username="ordinal", password=password) as node:
        for command in ("FLUSHALL", "KEYS *", "CONFIG GET *", "SHUTDOWN", "CLUSTER RESET"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                node.execute_command(*command.split())
